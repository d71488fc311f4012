"""Files of a reward's model: in a directory, or fetched once from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from raybilevel.errors import InputError
from raybilevel.lower.hub import commit_of, download, is_commit, is_hub_name, names_of


def folder_of(model: str, patterns: Sequence[str], needed: Sequence[str], where: str) -> Path:
    """The directory that holds a model's files of these patterns, as far as it has them.

    Parameters
    ----------
    model : a directory, or a hub name `owner/name`, perhaps with a branch, tag or commit:
        `owner/name@revision`; with both, `owner/name@branch@commit`, the commit is meant. What is
        cached of a commit is not asked for.
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


def pinned_model(model: str, where: str, before: str | None = None) -> str:
    """A model of the hub with its commit behind its branch; a directory as it is.

    Parameters
    ----------
    where : the argument that holds it, for the error's sentence.
    before : the same as it was pinned before: of the same name and branch the commit is kept.

    Raises
    ------
    InputError
        What `commit_of` raises.
    """
    name, revision, commit = _parts(model)
    if commit is not None or not is_hub_name(name):
        return model
    if before is not None:
        *same, kept = _parts(before)
        commit = kept if same == [name, revision] else None
    return f"{model}@{commit or commit_of(name, revision, where)}"


def pinned_file(file: str, where: str, before: str | None = None) -> str:
    """The same of a file of a model, `owner/name/file`."""
    if Path(file).is_file():
        return file
    model, slash, name = file.rpartition("/")
    return f"{pinned_model(model, where, before and before.rpartition('/')[0])}{slash}{name}"


def _parts(model: str) -> tuple[str, str | None, str | None]:
    """Name, branch and commit of `owner/name@branch@commit`, whose ends may be missing."""
    name, _, rest = model.partition("@")
    revision, _, last = rest.rpartition("@")
    return (name, revision or None, last) if is_commit(last) else (name, rest or None, None)


def _on_hub(model: str, where: str) -> tuple[str, str]:
    """Its name there, and its commit."""
    name, revision, commit = _parts(model)
    if not is_hub_name(name):
        raise InputError(
            f"{where} is '{model}', which is no directory in {Path.cwd()}, and no name of the hub "
            "such as 'owner/name'"
        )
    return name, commit or commit_of(name, revision, where)
