"""What goes wrong on the Hugging Face hub, in one sentence that names the argument."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from raybilevel.errors import InputError

_REVISIONS = {"model": "model_options.revision"}
"""What sentences call the revision of an argument, where it has a name of its own."""


class UnreachableError(InputError):
    """The hub gave no answer."""


@contextmanager
def said(name: str, revision: str | None, where: str) -> Iterator[None]:
    """What goes wrong on the hub, in one sentence of ours.

    Parameters
    ----------
    where : the argument that holds the model.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    named, asked = f"{where} '{name}'", _REVISIONS.get(where, f"the revision of {where}")
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
            f"{asked} is '{revision}', but {named} has no branch, tag or commit of that name on "
            "the hub"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"{named} is no directory here, and the Hugging Face hub has no model of that name, or "
            "shows it to nobody without a token; look for a misspelt name, or set HF_TOKEN on "
            "every node"
        ) from error
    except OSError as error:
        if error.errno is None:  # an answer, or none, of the hub's
            raise unreachable(name, error, where) from error
        raise InputError(
            f"{named} cannot be kept in the cache of the Hugging Face hub ({error}); set HF_HOME "
            "to a folder with room"
        ) from error
    except Exception as error:  # huggingface_hub lets through what its library for HTTP raises
        raise unreachable(name, error, where) from error


def unreachable(name: str, error: Exception, where: str) -> UnreachableError:
    """That a model is neither cached nor reachable."""
    cause = error.__cause__ or error
    reason = (str(cause).split("\n")[0].strip() or "no reason given").rstrip(".")
    return UnreachableError(
        f"{where} '{name}' is no directory here, and as a model of the Hugging Face hub it is "
        f"neither cached nor reachable ({type(cause).__name__}: {reason})"
    )


@contextmanager
def quiet() -> Iterator[None]:
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
