"""Files of a reward's model: in a directory, or fetched once from the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from raybilevel.errors import InputError


def folder_of(
    model: str, patterns: Sequence[str], complete: Callable[[Path], bool], where: str
) -> Path:
    """The directory that holds a model's files of these patterns, as far as it has them.

    Parameters
    ----------
    model : a directory, or a hub name `owner/name`, perhaps with a branch, tag or commit:
        `owner/name@revision`.
    patterns : of file names.
    complete : whether a folder has what is needed: then the hub is not asked for what is cached.

    Raises
    ------
    InputError
        If there is no such directory, and the hub has no such model, does not give it away, or
        cannot be reached. A token comes from the environment (HF_TOKEN) alone.
    """
    if Path(model).is_dir():
        return Path(model)
    with _in_a_sentence(model, where), _without_bars():
        cached = _snapshot(model, patterns, local_files_only=True)
        if cached is not None and complete(cached):
            return cached
        fetched = _snapshot(model, patterns)
        assert fetched is not None, "what cannot be had raises"
        return fetched


def has_file(model: str, file: str, where: str) -> bool:
    """Whether a model has a file, which is not fetched; raises what `folder_of` does."""
    from huggingface_hub import HfApi

    if Path(model).is_dir():
        return (Path(model) / file).is_file()
    name, _, revision = model.partition("@")
    with _in_a_sentence(model, where):
        return HfApi().file_exists(name, file, revision=revision or None)


def _snapshot(model: str, patterns: Sequence[str], local_files_only: bool = False) -> Path | None:
    """Its folder in the hub's cache; None where that alone is asked, and lacks some."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    name, _, revision = model.partition("@")
    try:
        folder = snapshot_download(
            name,
            revision=revision or None,
            allow_patterns=list(patterns),
            local_files_only=local_files_only,
        )
    except LocalEntryNotFoundError:
        if local_files_only:
            return None
        raise
    return Path(folder)


@contextmanager
def _in_a_sentence(model: str, where: str) -> Iterator[None]:
    from huggingface_hub import errors

    given, here = f"{where} is '{model}'", f"no directory in {Path.cwd()}"
    try:
        yield
    except errors.HFValidationError as error:
        raise InputError(
            f"{given}, which is {here}, and no name of the hub such as 'owner/name'"
        ) from error
    except errors.GatedRepoError as error:
        raise InputError(
            f"{given}, which is gated: accept its terms on its page of the hub, and set HF_TOKEN "
            "on every node"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{given}, but the model has no such revision on the hub") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{given}, which is {here}, and not on the hub; a private model needs HF_TOKEN on "
            "every node"
        ) from error
    except Exception as error:  # the hub's client lets through what its library for HTTP raises
        if isinstance(error, InputError) or getattr(error, "errno", None) is not None:
            raise  # such as a full disk
        raise InputError(
            f"{given}, which is {here}, not whole in the hub's cache, and the hub cannot be "
            "reached; fetch it where there is a network, or give a directory"
        ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars: one a worker and file helps nobody."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    shown = not are_progress_bars_disabled()
    if shown:
        disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()
