"""Where a pipeline comes from: a directory, the Hugging Face hub, or a function that returns it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raybilevel.imports import resolve
from raybilevel.lower.hub import commit_of
from raybilevel.lower.sampling.pipelines.callables import pipeline_returned
from raybilevel.lower.sampling.pipelines.description import PipelineDescription, describe
from raybilevel.lower.sampling.pipelines.dtypes import choose_dtype
from raybilevel.lower.sampling.pipelines.hub import describe_hub, fetch
from raybilevel.lower.sampling.pipelines.loading import files_to_load, load_described
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings

Source = Path | str | Callable[[], Any]
"""A directory, as a path; `owner/name` of the hub, or an import path "package.module:name", as a
text; or a function."""


def describe_source(source: Path | str, settings: PipelineSettings) -> PipelineDescription:
    """What the JSON files of a directory, or of a model of the hub, say of it.

    Raises
    ------
    InputError
        What `describe`, `commit_of` and `fetch_description` raise.
    """
    if isinstance(source, str):
        return describe_hub(source, commit_of(source, settings.revision))
    return describe(source)


def loaded(
    source: Source,
    settings: PipelineSettings,
    device: str = "cpu",
    conditions: Sequence[Any] | None = None,
) -> tuple[Any, list[str]]:
    """The pipeline, on the CPU until a sampler takes it.

    Parameters
    ----------
    device : that it will compute on.
    conditions : prompts or class labels of the run.

    Returns
    -------
    The pipeline; and, where a function returned it, what `check_stock_pipeline` remarks on, which
    of the others is known before anything is loaded.

    Raises
    ------
    InputError
        What `describe_source`, `load_described` and `pipeline_returned` raise.
    """
    if isinstance(source, str) and ":" in source:
        make, named = resolve(source, "model"), f"model '{source}'"
        return pipeline_returned(make, settings, device, conditions, named)
    if callable(source):
        return pipeline_returned(source, settings, device, conditions)
    return load_described(whole(source, settings), settings, device), []


def dtype_of(source: Path | str, settings: PipelineSettings, device: str) -> str:
    """The name of the dtype that `loaded` gives a pipeline, all of whose files are on this node."""
    weights = {}
    if settings.dtype == "auto" and device != "cpu":
        weights = dict(files_to_load(describe_source(source, settings), settings).weights)
    return str(choose_dtype(weights, settings.dtype, device)).removeprefix("torch.")


def whole(source: Path | str, settings: PipelineSettings) -> PipelineDescription:
    """The same as `describe_source`, once all files that a run reads are there."""
    described = describe_source(source, settings)
    if isinstance(source, str):
        fetch(source, commit_of(source, settings.revision), settings)
    return described
