"""Models of the Hugging Face hub: their commit, and of their files those alone that are read.

Downloads go to huggingface_hub's own cache, once a node however many workers ask: it locks each
file. A token is taken from the node's environment by huggingface_hub itself, and seen nowhere here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from raybilevel.errors import InputError
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

_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")

_PATIENCE_S = 10.0  # for the first answer; huggingface_hub itself would retry for 23 seconds


def is_hub_name(model: str) -> bool:
    """Whether a model is named `owner/name` as on the hub, and is no directory here."""
    return _NAME.fullmatch(model) is not None and not Path(model).is_dir()


def is_commit(revision: object) -> bool:
    """Whether it names a commit, by all of its digits."""
    return isinstance(revision, str) and _COMMIT.fullmatch(revision) is not None


def commit_of(name: str, revision: str | None = None) -> str:
    """The commit (40 hex digits) that a branch or tag names now.

    Where the hub cannot be reached, what it named when it was last asked from here.

    Parameters
    ----------
    revision : a branch, a tag or a commit; None for the main branch.

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
        _reach(name, revision)
    except _UnreachableError as error:
        failure = error
    with _quiet(), _said(name, revision):
        try:
            return (
                HfApi()
                .resolve_revision(name, revision=revision, local_files_only=failure is not None)
                .resolved
            )
        except RevisionResolutionError as error:
            raise failure or _unreachable(name, error) from error


def describe_hub(name: str, commit: str) -> PipelineDescription:
    """What a model's JSON files say of it; `InputError` as from `describe` and `commit_of`."""
    root = fetch_description(name, commit)
    return describe(root, named=_named(name), names=_names(name, commit))


def fetch_description(name: str, commit: str) -> Path:
    """The directory in the cache that has a model's JSON files and tokenizers, but no weights.

    Raises
    ------
    InputError
        What `commit_of` raises; and if the model is no pipeline, or gated.
    """
    names = _names(name, commit)
    if INDEX not in names:
        raise InputError(
            f"{_named(name)} is no diffusers pipeline: on the hub it has no {INDEX}; give one that "
            "has, or a function without arguments that returns a pipeline"
        )
    index = read_config(_download(name, commit, [INDEX]) / INDEX, _named(name))
    parts = [part for part, value in index.items() if is_part(value)]
    return _download(name, commit, [file for file in names if _describes(file, parts)])


def fetch(name: str, commit: str, settings: PipelineSettings) -> Path:
    """The directory in the cache that has all that a run reads of a model, and nothing else.

    Raises
    ------
    InputError
        What `fetch_description` and `choose_files` raise.
    """
    described = describe_hub(name, commit)
    files = files_to_load(described, settings).files.values()
    return _download(
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


def _names(name: str, commit: str) -> frozenset[str]:
    """Names of all files of a model: as kept from an earlier visit, or as the hub says."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return frozenset(file.path for file in get_cached_repo_tree(name, revision=commit))
    except CachedRepoTreeNotFoundError:
        pass
    try:
        return _reach(name, commit)
    except _UnreachableError:
        root = _cached(name, commit, [INDEX])
        if root is None:
            raise
        return frozenset(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def _download(name: str, commit: str, files: Collection[str]) -> Path:
    from huggingface_hub import snapshot_download

    root = _cached(name, commit, files)
    if root is None:
        _reach(name, commit)
        with _quiet(), _said(name, commit):
            patterns = [escape(file) for file in files]
            root = Path(snapshot_download(name, revision=commit, allow_patterns=patterns))
    return root


def _cached(name: str, commit: str, files: Collection[str]) -> Path | None:
    """The folder of a commit in the cache, if it has all of these files."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(name, file, revision=commit) for file in {INDEX, *files}]
    if not all(isinstance(path, str) for path in found):
        return None
    return Path(str(try_to_load_from_cache(name, INDEX, revision=commit))).parent


class _UnreachableError(InputError):
    """The hub gave no answer."""


def _reach(name: str, revision: str | None) -> frozenset[str]:
    """Ask the hub for a model, once; returns the names of its files."""
    from huggingface_hub import HfApi

    with _quiet(), _said(name, revision):
        found = HfApi().model_info(name, revision=revision, timeout=_PATIENCE_S)
    return frozenset(file.rfilename for file in found.siblings or ())


@contextmanager
def _said(name: str, revision: str | None) -> Iterator[None]:
    """What goes wrong on the hub, in one sentence of ours."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    named = _named(name)
    try:
        yield
    except InputError:
        raise
    except GatedRepoError as error:
        raise InputError(
            f"{named} is gated: accept its terms on its page of the hub, and set HF_TOKEN on every "
            "node to a token of the account that did"
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(
            f"model_options.revision is '{revision}', but {named} has no branch, tag or commit of "
            "that name on the hub"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"{named} is no directory here, and the Hugging Face hub has no model of that name, or "
            "shows it to nobody without a token; look for a misspelt name, or set HF_TOKEN on "
            "every node"
        ) from error
    except OSError as error:
        if error.errno is None:  # an answer, or none, of the hub's
            raise _unreachable(name, error) from error
        raise InputError(
            f"{named} cannot be kept in the cache of the Hugging Face hub ({error}); set HF_HOME "
            "to a folder with room"
        ) from error
    except Exception as error:  # huggingface_hub lets through what its library for HTTP raises
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> _UnreachableError:
    cause = error.__cause__ or error
    said = (str(cause).split("\n")[0].strip() or "no reason given").rstrip(".")
    return _UnreachableError(
        f"{_named(name)} is no directory here, and as a model of the Hugging Face hub it is "
        f"neither cached nor reachable ({type(cause).__name__}: {said})"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without bars and log lines between a run's own."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger, shown = logging.getLogger("huggingface_hub"), not are_progress_bars_disabled()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown:
            enable_progress_bars()
