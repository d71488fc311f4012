"""Steps along the natural gradient, as images see it: for what has no residuals.

Nothing says how far a step for a reward, or for FID, may go. Which way is said by
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
from raybilevel.problems.base import Arrays
from raybilevel.problems.schedule.teacher.space import SigmaSpace, leads_out
from raybilevel.upper.optimisers.gauss_newton import ResidualSums

LENGTHS = (0.1, 0.03, 0.01, 0.003)
"""Of the variable that moves most, in the unit box."""

_KEPT = ("gradient", "se", "count", "curvatures")
_DAMPING = 0.1  # of the mean curvature: levels that nothing answers to do not move most


@dataclass(frozen=True, eq=False)
class NaturalSlopes:
    """What noises say of an objective of images about an x, in unit coordinates.

    Attributes
    ----------
    sums : of all noises; slopes are half of the objective's, curvatures those of images.
    gradient, se : (d,) of the objective, and its standard error over shards.
    """

    sums: ResidualSums
    gradient: np.ndarray
    se: np.ndarray

    @classmethod
    def of(
        cls, gradient: np.ndarray, se: np.ndarray, count: int, curvatures: np.ndarray
    ) -> NaturalSlopes:
        """Of a gradient with its error, and of J'J (d, d) over so many noises."""
        return cls(ResidualSums(count, gradient * count / 2, curvatures), gradient, se)

    @classmethod
    def kept(cls, arrays: Mapping[str, np.ndarray]) -> NaturalSlopes:
        """Those of `arrays`."""
        gradient, se, count, curvatures = (arrays[name] for name in _KEPT)
        return cls.of(gradient, se, int(count), curvatures)

    @property
    def arrays(self) -> Arrays:
        """All that it is."""
        sums = self.sums
        each = (self.gradient, self.se, np.array(sums.count), sums.curvatures)
        return dict(zip(_KEPT, each, strict=True))

    @classmethod
    def of_rewards(cls, rows: Mapping[str, np.ndarray]) -> NaturalSlopes:
        """Of minus the reward, by the rows of `RewardDifferences` shards."""
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
