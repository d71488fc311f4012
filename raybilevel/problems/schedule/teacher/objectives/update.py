"""One update of the levels: a Gauss-Newton step that is tried before it is taken.

The objective of one number of steps is the mean squared distance to the teacher; of several it is
the geometric mean of theirs, in which each counts by the share that it falls. Legend: D_k is the
mean square of the k-th of m numbers of steps, G = (prod_k D_k)^(1/m), and so dG = sum_k w_k dD_k
with the weights w_k = G / (m D_k), which is 1 for m = 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from raybilevel.metrics.fid_kid import jackknife
from raybilevel.problems.base import Arrays
from raybilevel.problems.schedule.teacher.objectives.list_sums import ListSums, weights_of
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.upper.optimisers.gauss_newton import ResidualSums, damped_step

DAMPINGS = (1e-3, 0.1, 3.0, 100.0)
"""Steps that are tried: from the whole one to a short one down the gradient."""

_SUMS = ("count", "squares", "slopes", "curvatures")

SURE = 2.0
"""Standard errors that a gain must have, or more noises are drawn."""

LITTLE = 0.01
"""Share of the objective: where no step gains so much, the run ends."""


@dataclass(frozen=True, eq=False)
class Slopes:
    """What the noises of an update say of the objective about its x, in unit coordinates.

    Attributes
    ----------
    lists : sums of all noises, of each number of steps.
    gradient, se : (d,) of the objective, and its standard error over shards.
    """

    lists: ListSums
    gradient: np.ndarray
    se: np.ndarray

    @classmethod
    def of(cls, rows: Mapping[str, np.ndarray]) -> Slopes:
        """Of the rows of `Differences` shards."""
        columns = (rows[name] for name in _SUMS)
        parts = [ListSums(float(n), *sums) for n, *sums in zip(*columns, strict=True)]
        gradient, se = jackknife(lambda total: total.together.gradient, parts)
        return cls(reduce(add, parts), gradient, se)

    @classmethod
    def kept(cls, arrays: Mapping[str, np.ndarray]) -> Slopes:
        """Those of `arrays`."""
        count, *sums = (arrays[name] for name in _SUMS)
        return cls(ListSums(float(count), *sums), arrays["gradient"], arrays["se"])

    @property
    def arrays(self) -> Arrays:
        """All that it is."""
        sums = {name: np.asarray(getattr(self.lists, name)) for name in _SUMS}
        return {**sums, "gradient": self.gradient, "se": self.se}

    def tried(self, space: SigmaSpace, x: np.ndarray) -> list[np.ndarray]:
        """Values (d,) to go to from x (d,), one a damping."""
        u = space.inner.to_unit(x)
        sums = self.lists.together
        steps = [damped_step(sums, damping, -u, 1 - u) for damping in DAMPINGS]
        return [space.inner.from_unit(space.inner.project(u + step)) for step in steps]

    def of_list(self, k: int) -> ResidualSums:
        """Of one number of steps."""
        return self.lists.of(k)


@dataclass(frozen=True, eq=False)
class Trial:
    """What points came to on the same noises.

    Attributes
    ----------
    each : (n, points) what each noise says of the objective, which is their mean; the first point
        is where the update began.
    """

    each: np.ndarray

    @classmethod
    def of_squares(cls, squares: np.ndarray) -> Trial:
        """Of squared distances (n, points, m)."""
        return cls(np.sum(squares * weights_of(squares.mean(axis=0)), axis=-1))

    @property
    def best(self) -> int:
        """The point of the least value."""
        return int(np.argmin(self.each.mean(axis=0)))

    def value(self, point: int) -> tuple[float, float]:
        """The objective at a point, and its standard error over noises."""
        return mean_of(self.each[:, point])

    def gain(self, point: int) -> tuple[float, float]:
        """How much less it is there than where the update began, and the standard error."""
        return mean_of(self.each[:, 0] - self.each[:, point])

    def is_sure(self, point: int) -> bool:
        """Whether it is better there than where the update began, beyond doubt."""
        gain, se = self.gain(point)
        return gain > SURE * se and point > 0

    @property
    def surest(self) -> int:
        """The best of the points that are better beyond doubt; the first where none is."""
        sure = [point for point in range(self.each.shape[1]) if self.is_sure(point)]
        return min(sure, key=lambda point: self.value(point)[0], default=0)


def mean_of(values: np.ndarray) -> tuple[float, float]:
    """Mean of independent values (n,), and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
