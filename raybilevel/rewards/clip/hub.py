"""Files of a reward's model: in a directory, or fetched once from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from raybilevel.errors import InputError
from raybilevel.lower.hub import commit_of, download, is_hub_name, names_of


def folder_of(model: str, patterns: Sequence[str], needed: Sequence[str], where: str) -> Path:
    """The directory that holds a model's files of these patterns, as far as it has them.

    Parameters
    ----------
    model : a directory, or a hub name `owner/name`, perhaps with a branch, tag or commit:
        `owner/name@revision`. What is cached of a commit is not asked for.
    patterns : of file names.
    needed : files without one of which the cache is not enough.
    where : the argument that holds the model, for the error's sentence.

    Raises
    ------
    InputError
        If there is no such directory, and what `commit_of` and `download` raise.
    """
    if Path(model).is_dir():
        return Path(model)
    name, commit = _on_hub(model, where)
    names = names_of(name, commit, needed, where)
    files = [file for file in sorted(names) if any(fnmatchcase(file, p) for p in patterns)]
    return download(name, commit, files, where)


def has_file(model: str, file: str, where: str) -> bool:
    """Whether a model has a file, which is not fetched; raises what `folder_of` does."""
    if Path(model).is_dir():
        return (Path(model) / file).is_file()
    name, commit = _on_hub(model, where)
    return file in names_of(name, commit, [file], where)


def _on_hub(model: str, where: str) -> tuple[str, str]:
    """Its name there, and its commit."""
    name, _, revision = model.partition("@")
    if not is_hub_name(name):
        raise InputError(
            f"{where} is '{model}', which is no directory in {Path.cwd()}, and no name of the hub "
            "such as 'owner/name'"
        )
    return name, commit_of(name, revision or None, where)
