"""From the variables of a schedule to the sigmas that a pipeline's call visits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.lower.sampling.level_lists.sigmas import to_logsnr, to_sigmas
from raybilevel.problems.schedule.space import ScheduleSpace
from raybilevel.problems.schedule.teacher.shards import Sigmas
from raybilevel.upper.optimisers.zeroth_order import Pairs


@dataclass(frozen=True, eq=False)
class SigmaSpace:
    """A schedule in log-SNR, read as sigmas.

    Attributes
    ----------
    inner : the levels that are tuned, in log-SNR.
    flow : whether sigmas are those of flow matching, where the first is always 1, pure noise, and
        not tuned.
    """

    inner: ScheduleSpace
    flow: bool

    def sigmas(self, x: np.ndarray) -> Sigmas:
        """All levels of a call at values x (d,), falling."""
        tuned = to_sigmas(self.inner.levels(x), flow=self.flow).tolist()
        return (1.0, *tuned) if self.flow else tuple(tuned)

    def nearest(self, sigmas: np.ndarray) -> np.ndarray:
        """The values (d,) whose levels are nearest to sigmas (k,) of a call."""
        tuned = np.asarray(sigmas)[1:] if self.flow else np.asarray(sigmas)
        return self.inner.nearest(to_logsnr(tuned, flow=self.flow))

    def at(self, u: np.ndarray) -> Sigmas:
        """All levels at unit coordinates u (d,)."""
        return self.sigmas(self.inner.from_unit(u))

    def pairs(self, x: np.ndarray) -> Pairs:
        """A pair along each variable, about values x (d,) or as near as the box allows."""
        d = len(x)
        u = self.inner.to_unit(x)
        return Pairs.inside(u, np.eye(d), self.inner.delta, np.zeros(d), np.ones(d))
