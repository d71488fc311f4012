"""From the variables of a schedule to the sigmas that a pipeline's call visits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.lower.sampling.level_lists.sigmas import to_logsnr, to_sigmas
from raybilevel.problems.schedule.space import ScheduleSpace
from raybilevel.problems.schedule.teacher.shards import Pair, Sigmas
from raybilevel.upper.optimisers.zeroth_order import Pairs

_AT = 1e-6  # of the box, from a bound
_DELTA = 0.016  # half a pair's distance, as a share of the box
_TOUCH = 0.4  # of the distance of neighbours


@dataclass(frozen=True, eq=False)
class SigmaSpace:
    """A schedule in log-SNR, read as sigmas.

    One curve has the lists of several numbers of steps: of k steps it is visited at t = 1,
    (k - 1)/k, ..., 1/k, as by trailing spacing.

    Attributes
    ----------
    inner : the levels that are tuned, in log-SNR: of the longest list, as knots.
    flow : whether sigmas are those of flow matching, where the first is always 1, pure noise, and
        not tuned.
    counts : numbers of steps, rising.
    """

    inner: ScheduleSpace
    flow: bool
    counts: tuple[int, ...]

    def lists(self, x: np.ndarray) -> tuple[Sigmas, ...]:
        """All levels of a call of each number of steps at values x (d,), falling."""
        return tuple(self._list(x, steps) for steps in self.counts)

    def sigmas(self, x: np.ndarray) -> Sigmas:
        """Those of the longest list."""
        return self._list(x, self.counts[-1])

    def _list(self, x: np.ndarray, steps: int) -> Sigmas:
        tuned, most = np.arange(steps - self.flow, 0, -1), self.counts[-1]
        t = tuned * most / (steps * (most - self.flow))  # of flow matching t = 1 is not pure noise
        sigmas = to_sigmas(self.inner.levels_at(x, t), flow=self.flow).tolist()
        return (1.0, *sigmas) if self.flow else tuple(sigmas)

    def parted(self, sigmas: np.ndarray) -> tuple[np.ndarray, ...]:
        """The lists of each number of steps that were joined."""
        return tuple(np.split(sigmas, np.cumsum(self.counts)[:-1]))

    def nearest(self, sigmas: np.ndarray) -> np.ndarray:
        """The values (d,) whose curve is nearest to sigmas (k,) of a call of the most steps."""
        tuned = np.asarray(sigmas)[1:] if self.flow else np.asarray(sigmas)
        return self.inner.nearest(to_logsnr(tuned, flow=self.flow))

    def at(self, u: np.ndarray) -> tuple[Sigmas, ...]:
        """The lists at unit coordinates u (d,)."""
        return self.lists(self.inner.from_unit(u))

    def pairs(self, x: np.ndarray) -> Pairs:
        """A pair along each variable, about values x (d,) or as near as the box allows."""
        d = len(x)
        u = self.inner.to_unit(x)
        return Pairs.inside(u, np.eye(d), self._delta(u), np.zeros(d), np.ones(d))

    def around(self, pairs: Pairs) -> list[list[Pair]]:
        """Lists up and down along each variable, of each number of steps."""
        ups, downs = (
            list(map(self.at, points)) for points in (pairs.points[::2], pairs.points[1::2])
        )
        return [
            [(up[k], down[k]) for up, down in zip(ups, downs, strict=True)]
            for k in range(len(self.counts))
        ]

    def _delta(self, u: np.ndarray) -> float:
        """Half a pair's distance in the unit box: as far as levels do not come to their neighbours.

        In bfloat16 a quarter of it makes curvatures of 1.4 to 2.6 times what they are.
        """
        if not self.inner.has_knots or len(u) == 1:
            return _DELTA
        return max(self.inner.delta, min(_DELTA, _TOUCH * float(np.diff(u).min())))


def leads_out(u: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Which of unit coordinates u (d,) are at a bound that a way (d,) leads out at."""
    return ((u < _AT) & (way < 0)) | ((u > 1 - _AT) & (way > 0))
