"""`PoolSolution`: where the objective is least on one pool, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.problems.reward.pool_objective import PoolPoint
from raybilevel.upper.diagnostics import Diagnostics
from raybilevel.upper.interval import Interval
from raybilevel.upper.optimisers.newton import Termination
from raybilevel.upper.variables import Box


@dataclass(frozen=True, eq=False)
class PoolSolution:
    """What one pool has to say.

    Attributes
    ----------
    point : the optimum, or as far towards it as the pool can be believed.
    termination : how the search ended; None where the pool can be believed nowhere on its way.
    interval : in scaled coordinates, over prompts for these; None unless the optimum is interior.
    interval_of_prompts : for prompts like these; None where there are too few.
    pinned : (d,) bool, variables held at a bound.
    refused : what the gates saw at the nearest point that they refused, where the search ended
        there or could not begin.
    ahead : what they saw at the optimum that lies beyond it, where the pool shows one.
    evaluations : estimates that the search made of the pool, those of its start included.
    unpenalised : (d,) at finite gamma where F itself is least, nan where the pool cannot tell; None
        at infinite gamma.
    refused_x : (d,) where that nearest point is, if the search ended there.
    trusted : False for an optimum at which gates fail, which is shown while the pool grows.
    """

    point: PoolPoint
    termination: Termination | None
    interval: Interval | None
    interval_of_prompts: Interval | None
    pinned: np.ndarray
    refused: Diagnostics | None
    evaluations: int
    ahead: Diagnostics | None = None
    unpenalised: np.ndarray | None = None
    trusted: bool = True
    refused_x: np.ndarray | None = None

    @property
    def x(self) -> np.ndarray:
        """Values (d,) of the variables."""
        return self.point.x

    @property
    def n(self) -> int:
        """Samples in the pool."""
        return self.point.objective.pool.n

    @property
    def believed(self) -> bool:
        """Whether the pool can be believed anywhere on the way."""
        return self.trusted and self.termination is not None

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The interval's ends as values (d,), (d,) inside the box; nan where there is none."""
        return self._bounds(self.interval)

    @property
    def bounds_of_prompts(self) -> tuple[np.ndarray, np.ndarray]:
        """The same for prompts like these."""
        return self._bounds(self.interval_of_prompts)

    def _bounds(self, interval: Interval | None) -> tuple[np.ndarray, np.ndarray]:
        if interval is None:
            nothing = np.full(len(self.x), np.nan)
            return nothing, nothing
        box = Box(self.point.objective.variables)
        return box.from_scaled(interval.low), box.from_scaled(interval.high)
