"""Steps that a reward's slopes say: along the natural gradient, as samples see it.

A reward has no residuals, so that nothing says how far a step may go. Which way is said by
(J'J)^-1 g, J that of the images: levels to which samples hardly answer move as far as others. How
far is tried on the same noises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from raybilevel.metrics.fid_kid import jackknife
from raybilevel.problems.schedule.teacher.space import SigmaSpace, leads_out
from raybilevel.upper.optimisers.gauss_newton import ResidualSums

LENGTHS = (0.1, 0.03, 0.01, 0.003)
"""Of the variable that moves most, in the unit box."""

_DAMPING = 0.1  # of the mean curvature: levels that nothing answers to do not move most


@dataclass(frozen=True, eq=False)
class RewardSlopes:
    """What noises say of minus the reward about an x, in unit coordinates.

    Attributes
    ----------
    sums : of all noises; slopes are half of minus the reward's.
    gradient, se : (d,) of minus the reward, and its standard error over shards.
    """

    sums: ResidualSums
    gradient: np.ndarray
    se: np.ndarray

    @classmethod
    def of(cls, rows: Mapping[str, np.ndarray]) -> RewardSlopes:
        """Of the rows of `RewardDifferences` shards."""
        columns = (rows[name] for name in ("count", "slopes", "curvatures"))
        parts = [ResidualSums(float(n), -s, c) for n, s, c in zip(*columns, strict=True)]
        gradient, se = jackknife(lambda total: total.gradient, parts)
        return cls(reduce(add, parts), gradient, se)

    def tried(self, space: SigmaSpace, x: np.ndarray) -> list[np.ndarray]:
        """Values (d,) to go to from x (d,), one a length."""
        u = space.inner.to_unit(x)
        way = self._way(u)
        return [space.inner.from_unit(space.inner.project(u + step * way)) for step in LENGTHS]

    def _way(self, u: np.ndarray) -> np.ndarray:
        """Of length one by its largest; variables at a bound do not go out of it."""
        curvatures, free = self.sums.curvatures, np.ones(len(u), bool)
        floor = _DAMPING * np.trace(curvatures) / len(u) + np.finfo(float).tiny
        damped = curvatures + floor * np.eye(len(u))
        for _ in u:
            way = np.zeros(len(u))
            way[free] = -np.linalg.solve(damped[np.ix_(free, free)], self.sums.slopes[free])
            free = free & ~leads_out(u, way)
        way[~free] = 0
        return np.asarray(way / (np.abs(way).max() + np.finfo(float).tiny))

    def of_list(self, k: int) -> ResidualSums:
        """What is known of one number of steps: the slopes that all have together, no curvature."""
        return ResidualSums(self.sums.count, self.sums.slopes, 0 * self.sums.curvatures)
