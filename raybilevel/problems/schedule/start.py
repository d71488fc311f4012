"""Where the search for a schedule begins: at the best of many, by successive halving.

Jamieson & Talwalkar 2016, arXiv 1502.07943; a look adds its samples to those of the looks before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from raybilevel.metrics.fid_kid import Moments
from raybilevel.problems.schedule.real_images.objective import Mean, Objective, measure, of_points
from raybilevel.problems.schedule.space import ScheduleSpace

LOOKS = 4  # at where to begin
_KEEP = 2  # one of so many is looked at again


@dataclass(frozen=True, eq=False)
class Starts:
    """Where the search may begin.

    Attributes
    ----------
    points : values (d,) of the variables.
    stock : how many of them, the first, are nearest to stock spacings.
    """

    points: list[np.ndarray]
    stock: int

    @classmethod
    def of(cls, space: ScheduleSpace, scheduler: Mapping[str, Any]) -> Starts:
        """Those of a space, with the spacings of stock schedulers of that config."""
        from raybilevel.lower.sampling.stock_schedulers import stock_levels_visited

        visited = stock_levels_visited(scheduler, space.steps)
        return cls(space.starts(visited.values()), len(visited))


@dataclass(frozen=True, eq=False)
class Contenders:
    """The starts that are left, and what has been seen of each.

    Attributes
    ----------
    starts : all that there were.
    left : which of them are still there, the best first.
    seen : chunks of samples of each that is left.
    found : the objective at each that is left, and its standard error, as of the last look.
    best_stock : the best stock spacing where one was still there at the last look, or before.
    """

    starts: Starts
    left: list[int]
    seen: list[list[Moments | Mean]]
    found: list[tuple[float, float]] = field(default_factory=list)
    best_stock: np.ndarray | None = None

    @classmethod
    def all_of(cls, starts: Starts) -> Contenders:
        """Before the first look."""
        return cls(starts, list(range(len(starts.points))), [[] for _ in starts.points])

    @property
    def points(self) -> list[np.ndarray]:
        """Values (d,) of those that are left."""
        return [self.starts.points[i] for i in self.left]

    def looked(self, objective: Objective, rows: Mapping[str, np.ndarray]) -> Contenders:
        """With another look at all that are left, the best first."""
        new = of_points(objective, rows, len(self.left))
        seen = [[*before, *parts] for before, parts in zip(self.seen, new, strict=True)]
        found = [measure(objective, parts) for parts in seen]
        ranking = np.argsort([value for value, _ in found], kind="stable").tolist()
        left = [self.left[i] for i in ranking]
        stock = [self.starts.points[i] for i in left if i < self.starts.stock]
        return replace(
            self,
            left=left,
            seen=[seen[i] for i in ranking],
            found=[found[i] for i in ranking],
            best_stock=stock[0] if stock else self.best_stock,
        )

    def halved(self) -> Contenders:
        """The better half."""
        count = math.ceil(len(self.left) / _KEEP)
        return replace(self, left=self.left[:count], seen=self.seen[:count])
