"""A list of noise levels as a stock scheduler, or a pipeline's call, is given it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_lists.sigmas import (
    is_flow,
    timesteps_between,
    training_sigmas,
)
from raybilevel.lower.sampling.level_lists.taken import TAKEN, Taken, why_no_list

GivenList = dict[str, list[float]]
"""One argument by its name: {"sigmas": [...]} or {"timesteps": [...]}."""


class SchedulerLists:
    """What a scheduler of diffusers' is given so that it visits the levels that are asked for.

    Parameters
    ----------
    scheduler : is copied, and left as it is.
    given : what a pipeline gives `set_timesteps` besides, as `mu` where the shift depends on the
        image's size.

    Attributes
    ----------
    scheduler, given : as above.
    taken : the form in which its class takes a list.
    flow : whether sigmas are those of flow matching.

    Raises
    ------
    InputError
        If it takes no list.
    """

    def __init__(self, scheduler: Any, given: Mapping[str, Any] | None = None) -> None:
        if why := why_no_list(scheduler):
            raise InputError(why)
        self.scheduler, self.given = copy.deepcopy(scheduler), dict(given or {})
        self.taken: Taken = TAKEN[type(scheduler).__name__]
        self.flow = is_flow(scheduler)

    def argument(self, sigmas: np.ndarray) -> GivenList:
        """The argument that visits sigmas (k,), falling, without the clean image's 0.

        Where timesteps are whole, the nearest by log-SNR, all different.
        """
        if self.taken.argument == "timesteps":
            steps = self.timesteps(sigmas)
            return {"timesteps": [int(t) for t in steps] if self.taken.whole else steps.tolist()}
        values = self._unshifted(np.asarray(sigmas, float)) if self.flow else np.asarray(sigmas)
        return {"sigmas": [*values.tolist(), *([0.0] if self.taken.ends_with_zero else [])]}

    def timesteps(self, sigmas: np.ndarray) -> np.ndarray:
        """The timesteps (k,) of sigmas (k,); whole ones where they are, which all differ."""
        if not self.taken.whole:  # Heun interpolates sigma itself between timesteps
            return np.interp(sigmas, self._known, np.arange(self.count))
        return distinct(np.rint(self.between(sigmas)).astype(int), self.count)

    def between(self, sigmas: np.ndarray) -> np.ndarray:
        """The real-valued timesteps (k,) of sigmas (k,), by log sigma."""
        return timesteps_between(sigmas, self._known)

    @property
    def count(self) -> int:
        """Timesteps that there are."""
        return len(self._known)

    def sigmas_at(self, timesteps: np.ndarray) -> np.ndarray:
        """The sigmas (k,) of whole timesteps (k,)."""
        return self._known[np.asarray(timesteps, int)]

    @cached_property
    def _known(self) -> np.ndarray:
        return training_sigmas(self.scheduler)

    def _unshifted(self, sigmas: np.ndarray) -> np.ndarray:
        """What the scheduler's shift makes `sigmas` of: k u / (1 + (k - 1) u) for u."""
        k = self._shift
        return sigmas / (k - (k - 1) * sigmas)

    @property
    def _shift(self) -> float:
        config = self.scheduler.config
        if not config.get("use_dynamic_shifting"):
            return float(getattr(self.scheduler, "shift", None) or config.get("flow_shift", 1.0))
        mu = self.given["mu"]
        return float(mu if config.get("time_shift_type") == "linear" else np.exp(mu))


def visited_by(scheduler: Any) -> np.ndarray:
    """The sigmas (k,) that a scheduler visits once its timesteps are set, without the last 0.

    Each once, where it evaluates the network twice at a step.
    """
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is None or len(sigmas) > 1 + len(scheduler.timesteps):  # they are those of training
        return training_sigmas(scheduler)[scheduler.timesteps.cpu().numpy().astype(int)]
    values = np.asarray(sigmas.double().cpu())[:-1]
    kept = np.append(True, np.diff(values) != 0)
    return np.asarray(values[kept])


def distinct(steps: np.ndarray, count: int) -> np.ndarray:
    """The nearest whole timesteps (k,) in [0, count) that fall, to steps (k,) that do not rise."""
    place = np.arange(len(steps))
    # in steps + place ties are rises of one: made to fall again, from the cleanest on
    apart = np.maximum.accumulate((steps + place)[::-1])[::-1] - place
    last = count - 1
    return np.asarray(np.clip(apart, len(steps) - 1 - place, last - place))
