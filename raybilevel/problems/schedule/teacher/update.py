"""One update of the levels: a Gauss-Newton step that is tried before it is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from raybilevel.metrics.fid_kid import jackknife
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.upper.optimisers.gauss_newton import ResidualSums, damped_step

DAMPINGS = (1e-3, 0.1, 3.0, 100.0)
"""Steps that are tried: from the whole one to a short one down the gradient."""

SURE = 2.0
"""Standard errors that a gain must have, or more noises are drawn."""

LITTLE = 0.01
"""Share of the objective: where no step gains so much, the run ends."""


@dataclass(frozen=True, eq=False)
class Slopes:
    """What the noises of an update say of the objective about its x, in unit coordinates.

    Attributes
    ----------
    sums : of all noises.
    gradient, se : (d,) of the mean square, and its standard error over shards.
    """

    sums: ResidualSums
    gradient: np.ndarray
    se: np.ndarray

    @classmethod
    def of(cls, rows: Mapping[str, np.ndarray]) -> Slopes:
        """Of the rows of `Differences` shards."""
        columns = (rows[name] for name in ("count", "slopes", "curvatures"))
        parts = [
            ResidualSums(float(n), slopes, curvatures)
            for n, slopes, curvatures in zip(*columns, strict=True)
        ]
        gradient, se = jackknife(lambda total: total.gradient, parts)
        return cls(reduce(add, parts), gradient, se)

    def tried(self, space: SigmaSpace, x: np.ndarray) -> list[np.ndarray]:
        """Values (d,) to go to from x (d,), one a damping."""
        u = space.inner.to_unit(x)
        steps = [damped_step(self.sums, damping, -u, 1 - u) for damping in DAMPINGS]
        return [space.inner.from_unit(space.inner.project(u + step)) for step in steps]


@dataclass(frozen=True, eq=False)
class Trial:
    """What points came to on the same noises.

    Attributes
    ----------
    squares : (n, points) squared distances; the first point is where the update began.
    """

    squares: np.ndarray

    @property
    def best(self) -> int:
        """The point of the least mean."""
        return int(np.argmin(self.squares.mean(axis=0)))

    def value(self, point: int) -> tuple[float, float]:
        """The mean at a point, and its standard error over noises."""
        return mean_of(self.squares[:, point])

    def gain(self, point: int) -> tuple[float, float]:
        """How much less it is there than where the update began, and the standard error."""
        return mean_of(self.squares[:, 0] - self.squares[:, point])

    @property
    def is_sure(self) -> bool:
        """Whether the best is better beyond doubt."""
        gain, se = self.gain(self.best)
        return gain > SURE * se and self.best > 0

    @property
    def is_little(self) -> bool:
        """Whether what the best gains is next to nothing, or nothing."""
        return self.gain(self.best)[0] < LITTLE * self.value(0)[0]


def mean_of(values: np.ndarray) -> tuple[float, float]:
    """Mean of independent values (n,), and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
