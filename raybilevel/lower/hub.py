"""Models of the Hugging Face hub: what a branch names now, and their files.

Downloads go to huggingface_hub's own cache, once a node however many workers ask: it locks each
file. A token is taken from the node's environment by huggingface_hub itself, and seen nowhere here.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from glob import escape
from pathlib import Path

from raybilevel.errors import InputError
from raybilevel.lower.hub_errors import UnreachableError, quiet, said, unreachable

_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATIENCE_S = 10.0  # for the first answer; huggingface_hub itself would retry for 23 seconds


def is_hub_name(model: str) -> bool:
    """Whether a model is named `owner/name` as on the hub, and is no directory here."""
    return _NAME.fullmatch(model) is not None and not Path(model).is_dir()


def is_commit(revision: object) -> bool:
    """Whether it names a commit, by all of its digits."""
    return isinstance(revision, str) and _COMMIT.fullmatch(revision) is not None


def commit_of(name: str, revision: str | None = None, where: str = "model") -> str:
    """The commit (40 hex digits) that a branch or tag names now.

    Where the hub cannot be reached, what it named when it was last asked from here.

    Parameters
    ----------
    revision : a branch, a tag or a commit; None for the main branch.
    where : the argument that holds the model, for the error's sentence.

    Raises
    ------
    InputError
        If the model or the revision does not exist, or is neither reachable nor cached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionResolutionError

    if revision is not None and is_commit(revision):
        return revision
    failure: InputError | None = None
    try:
        _reach(name, revision, where)
    except UnreachableError as error:
        failure = error
    with quiet(), said(name, revision, where):
        try:
            return (
                HfApi()
                .resolve_revision(name, revision=revision, local_files_only=failure is not None)
                .resolved
            )
        except RevisionResolutionError as error:
            raise failure or unreachable(name, error, where) from error


def names_of(
    name: str, commit: str, needed: Collection[str], where: str = "model"
) -> frozenset[str]:
    """Names of all files of a model: as kept from an earlier visit, or as the hub says.

    Where neither is to be had, of those in the cache, if one of `needed` is among them.

    Raises
    ------
    InputError
        What `commit_of` raises.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return frozenset(file.path for file in get_cached_repo_tree(name, revision=commit))
    except CachedRepoTreeNotFoundError:
        pass
    try:
        return _reach(name, commit, where)
    except UnreachableError:
        roots = [root for file in needed if (root := _cached(name, commit, [file]))]
        if not roots:
            raise
        paths = [path for path in roots[0].rglob("*") if path.is_file()]
        return frozenset(path.relative_to(roots[0]).as_posix() for path in paths)


def download(name: str, commit: str, files: Collection[str], where: str = "model") -> Path:
    """The folder of a commit in the cache, with these files; nobody is asked if they are there.

    Raises
    ------
    InputError
        What `commit_of` raises; and if the model is gated, or the cache cannot be written.
    """
    from huggingface_hub import snapshot_download

    root = _cached(name, commit, files)
    if root is None:
        _reach(name, commit, where)
        with quiet(), said(name, commit, where):
            patterns = [escape(file) for file in files]
            root = Path(snapshot_download(name, revision=commit, allow_patterns=patterns))
    return root


def _cached(name: str, commit: str, files: Collection[str]) -> Path | None:
    """The folder of a commit in the cache, if it has all of these files."""
    from huggingface_hub import try_to_load_from_cache

    root = None
    for file in files:
        path = try_to_load_from_cache(name, file, revision=commit)
        if not isinstance(path, str):
            return None
        root = Path(path).parents[file.count("/")]
    return root


def _reach(name: str, revision: str | None, where: str) -> frozenset[str]:
    """Ask the hub for a model, once; returns the names of its files."""
    from huggingface_hub import HfApi

    with quiet(), said(name, revision, where):
        found = HfApi().model_info(name, revision=revision, timeout=_PATIENCE_S)
    return frozenset(file.rfilename for file in found.siblings or ())
