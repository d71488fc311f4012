"""What a pipeline's call asks of its scheduler, seen or changed while a block is entered.

A pipeline looks at the signature of `set_timesteps`, and calls it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import torch

from raybilevel.lower.sampling.level_lists.lists import visited_by
from raybilevel.lower.sampling.level_lists.sigmas import timesteps_between, training_sigmas

_ASKED = ("num_inference_steps", "timesteps", "sigmas", "device")

Does = Callable[[Callable[..., None], Any, Any], None]
"""Is called as `does(set_timesteps, args, kwargs)`."""


@dataclass(frozen=True, eq=False)
class Visited:
    """What a call asked for, before any network was evaluated.

    Attributes
    ----------
    sigmas : (k,) that would have been visited.
    timesteps : (m,) that the network would have been told.
    given : what `set_timesteps` was given besides a number of steps, a list and a device.
    """

    sigmas: np.ndarray
    timesteps: np.ndarray
    given: Mapping[str, Any]


class _Seen(Exception):  # noqa: N818 - it is how a call is left, and no error
    pass


def visits(scheduler: Any, call: Callable[[], Any]) -> Visited:
    """The levels that a pipeline's call visits; it is left as soon as they are known.

    Parameters
    ----------
    scheduler : the pipeline's.
    call : the pipeline's call, with all its arguments.
    """
    seen: list[Visited] = []

    def watched(set_timesteps: Callable[..., None], args: Any, kwargs: dict[str, Any]) -> None:
        set_timesteps(*args, **kwargs)
        given = {name: value for name, value in kwargs.items() if name not in _ASKED}
        told = scheduler.timesteps.double().cpu().numpy()
        seen.append(Visited(visited_by(scheduler), told, given))
        raise _Seen

    with _in_place(scheduler, watched), suppress(_Seen):
        call()
    assert seen, "a pipeline's call sets its scheduler's timesteps"
    return seen[0]


@contextmanager
def exactly(scheduler: Any, sigmas: np.ndarray) -> Iterator[None]:
    """A Gaussian multistep scheduler visits sigmas (k,) as they are, and not the nearest steps.

    Networks are told the real-valued timesteps that lie at them, by log sigma. What a call asks
    for is not heeded: `num_inference_steps` has to be k.
    """

    def visiting(set_timesteps: Callable[..., None], args: Any, kwargs: dict[str, Any]) -> None:
        set_timesteps(*args, **kwargs)
        steps = timesteps_between(sigmas, training_sigmas(scheduler))
        device = scheduler.timesteps.device
        scheduler.timesteps = torch.as_tensor(steps, dtype=torch.float32, device=device)
        values = torch.as_tensor(sigmas, dtype=scheduler.sigmas.dtype)
        scheduler.sigmas = torch.cat([values, scheduler.sigmas[-1:]])

    with _in_place(scheduler, visiting):
        yield


@contextmanager
def _in_place(scheduler: Any, does: Does) -> Iterator[None]:
    """In place of the scheduler's own method."""
    own = scheduler.set_timesteps

    @wraps(own)
    def set_timesteps(*args: Any, **kwargs: Any) -> None:
        does(own, args, kwargs)

    scheduler.set_timesteps = set_timesteps
    try:
        yield
    finally:
        del scheduler.set_timesteps
