"""What of a user's model and rewards ends a run while it draws, said by the seeds of the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from raybilevel.errors import InputError, RunError
from raybilevel.imports import in_one_line

_SHOWN = 4  # seeds of a batch in a sentence


class UserCodeError(RuntimeError):
    """A user's model or reward raised on a batch, whose seeds are in a note.

    No `RunError`: what asks a network for its numbers may do better when it is asked again.
    """


@contextmanager
def naming(what: str, seeds: Sequence[int]) -> Iterator[None]:
    """Say whose code raised, and on which samples."""
    try:
        yield
    except (InputError, RunError):
        raise
    except Exception as error:  # whatever a user's code may raise
        shown = ", ".join(map(str, seeds[:_SHOWN]))
        more = f" and {len(seeds) - _SHOWN} more" if len(seeds) > _SHOWN else ""
        raised = UserCodeError(f"{what} failed on the seeds {shown}{more}: {in_one_line(error)}")
        raised.add_note(f"the seeds of the batch: {list(seeds)}")
        raise raised from error


def check_finite(values: np.ndarray, seeds: Sequence[int], what: str) -> None:
    """Refuse what is no finite number, by its seed."""
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise RunError(
            f"{what} gave {values[bad[0]]} for the sample of seed {seeds[bad[0]]}; it must be a "
            "finite number for every sample"
        )
