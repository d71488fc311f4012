"""Pipelines of the Hugging Face hub: of their files those alone that are read."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from raybilevel.errors import InputError
from raybilevel.lower.hub import download, names_of
from raybilevel.lower.sampling.json_config import read_config
from raybilevel.lower.sampling.pipelines.description import (
    INDEX,
    PipelineDescription,
    describe,
    is_part,
)
from raybilevel.lower.sampling.pipelines.loading import files_to_load
from raybilevel.lower.sampling.pipelines.part_files import is_of_weights
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings


def describe_hub(name: str, commit: str) -> PipelineDescription:
    """What a model's JSON files say of it; `InputError` as from `describe` and `commit_of`."""
    root = fetch_description(name, commit)
    return describe(root, named=_named(name), names=names_of(name, commit, [INDEX]))


def fetch_description(name: str, commit: str) -> Path:
    """The directory in the cache that has a model's JSON files and tokenizers, but no weights.

    Raises
    ------
    InputError
        What `download` raises; and if the model is no pipeline.
    """
    names = names_of(name, commit, [INDEX])
    if INDEX not in names:
        raise InputError(
            f"{_named(name)} is no diffusers pipeline: on the hub it has no {INDEX}; give one that "
            "has, or a function without arguments that returns a pipeline"
        )
    index = read_config(download(name, commit, [INDEX]) / INDEX, _named(name))
    parts = [part for part, value in index.items() if is_part(value)]
    return download(name, commit, [file for file in names if _describes(file, parts)])


def fetch(name: str, commit: str, settings: PipelineSettings) -> Path:
    """The directory in the cache that has all that a run reads of a model, and nothing else.

    Raises
    ------
    InputError
        What `fetch_description` and `choose_files` raise.
    """
    described = describe_hub(name, commit)
    files = files_to_load(described, settings).files.values()
    return download(
        name, commit, [path.relative_to(described.directory).as_posix() for path in files]
    )


def _named(name: str) -> str:
    return f"model '{name}'"


def _describes(file: str, parts: Collection[str]) -> bool:
    """JSON and tokenizers of parts; indices too, which name a part's files of weights."""
    folder, _, last = file.rpartition("/")
    if folder and folder not in parts:
        return False
    return last.endswith(".json") or bool(folder and not is_of_weights(last))
