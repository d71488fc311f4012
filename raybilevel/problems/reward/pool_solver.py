"""The reward problem's upper level on one pool: where the objective is least, and how surely.

F on a pool is free, so the search runs to convergence on each pool; and it starts from the same
place on each, so that what it finds depends on the pool alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from raybilevel.upper.curvature import hessian
from raybilevel.upper.diagnostics import Gates, Health, examine
from raybilevel.upper.interval import Interval, sandwich
from raybilevel.upper.newton import Outcome, Point, Solution, minimise
from raybilevel.upper.penalty import Estimate, Pool, estimate
from raybilevel.upper.variables import Box, Variable

MIN_CURVATURE_Z = 4.0
_HALVINGS = 10
_SIZE_GATES = Gates(max_pareto_k=math.inf, max_share=math.inf)


@dataclass(frozen=True)
class Found:
    """What one pool has to say.

    Attributes
    ----------
    x : (d,) values of the variables: the optimum, or as far towards it as the pool can be believed.
    estimate : objective and gradient at x.
    health : of the gates at x; of the nearest refused point where `believed` is false there.
    outcome : how the search ended; None where the pool can be believed nowhere on its way.
    refused : the health of the nearest point that was refused, for `Outcome.FRONTIER`.
    ahead : the health at the optimum that lies beyond it, where the pool shows one.
    interval : None unless the optimum is interior.
    pinned : (d,) bool, variables held at a bound.
    evaluations : estimates that the search made of the pool, those of its start included.
    """

    x: np.ndarray
    estimate: Estimate
    health: Health
    outcome: Outcome | None
    refused: Health | None
    interval: Interval | None
    pinned: np.ndarray
    evaluations: int
    ahead: Health | None = None


class Solver:
    """Minimises F or L_gamma over the variables on one pool.

    Parameters
    ----------
    variables : (d,) what is tuned.
    columns : (d,) what each of them is among (lambda, w_1, ..., w_K).
    base : (1 + K,) lambda and weights, where they are not tuned.
    gamma : penalty constant, or inf.
    """

    def __init__(
        self,
        pool: Pool,
        variables: Sequence[Variable],
        columns: Sequence[int],
        base: np.ndarray,
        gamma: float = math.inf,
    ) -> None:
        self.pool, self.variables, self.gamma = pool, tuple(variables), gamma
        self._base = base
        self._columns = list(columns)
        self._box = Box(variables)
        self._is_log = np.array([v.scale == "log" for v in variables], dtype=bool)
        self._evaluations = 0

    def estimate(self, x: np.ndarray) -> Estimate:
        """Objective and gradient at values `x` (d,) of the variables."""
        point = self._coefficients(x)
        return estimate(self.pool, float(point[0]), point[1:], self.gamma)

    def exact(self, x: np.ndarray) -> Estimate:
        """F and its gradient at `x`, whatever gamma is."""
        point = self._coefficients(x)
        return estimate(self.pool, float(point[0]), point[1:])

    def lambda_(self, x: np.ndarray) -> float:
        """The KL strength at `x`."""
        return float(self._coefficients(x)[0])

    def at_gamma(self, gamma: float) -> Solver:
        """The same with another penalty constant."""
        return Solver(self.pool, self.variables, self._columns, self._base, gamma)

    def _coefficients(self, x: np.ndarray) -> np.ndarray:
        """(lambda, w_1, ..., w_K) with the tuned ones at `x`."""
        point = self._base.copy()
        point[self._columns] = x
        return point

    def examine(self, x: np.ndarray) -> Health:
        """The gates at values `x` (d,)."""
        return self.look(x)[1]

    def look(self, x: np.ndarray) -> tuple[Estimate, Health]:
        """The estimate at values `x` (d,) and whether it can be believed."""
        e = self.estimate(x)
        return e, examine(e, self._columns)

    def solve(self) -> Found:
        """Search from the variables' init, or from the nearest point where the pool is healthy.

        On its way the search heeds the gates of size alone, since a single sample can spoil the
        others far from the optimum. Where it ends all gates count: if one fails there, the search
        is done again within all of them, to say how far the pool can be believed.
        """
        free = self._search(_SIZE_GATES)
        if free is not None and free.health.ok:
            return free
        found = self._search(Gates()) or self._nowhere()
        shown = free is not None and free.outcome in (Outcome.INTERIOR, Outcome.AT_BOUND)
        return replace(found, ahead=free.health if free is not None and shown else None)

    def _search(self, gates: Gates) -> Found | None:
        """Minimise where `gates` pass; None where they pass nowhere between init and p0."""
        start = self._start(gates)
        if start is None:
            return None
        solution = minimise(
            lambda z: self._objective(z, gates),
            start,
            self._box.low,
            self._box.high,
        )
        x = self._box.from_scaled(solution.z)
        e, health = self.look(x)
        refused = solution.refused
        return Found(
            x=x,
            estimate=e,
            health=health,
            outcome=solution.outcome,
            refused=None if refused is None else self.examine(self._values(refused)),
            interval=self._interval(solution),
            pinned=solution.pinned,
            evaluations=self._evaluations,
        )

    def _nowhere(self) -> Found:
        (e, health), refused = self.look(self._init), self.examine(self._safest)
        nothing = np.zeros(len(self._init), dtype=bool)
        return Found(self._init, e, health, None, refused, None, nothing, self._evaluations)

    @cached_property
    def _init(self) -> np.ndarray:
        return np.array([v.init for v in self._box.variables])

    @cached_property
    def _safest(self) -> np.ndarray:
        """Where p is closest to p0 in the box: the largest lambda, the smallest weights."""
        return np.array(
            [
                v.high if column == 0 else min(max(0.0, v.low), v.high)
                for v, column in zip(self._box.variables, self._columns, strict=True)
            ]
        )

    def _start(self, gates: Gates) -> np.ndarray | None:
        """The healthy point nearest to init on the way to the safest; None where there is none."""
        init, safe = self._box.to_scaled(self._init), self._box.to_scaled(self._safest)
        if self._passes(init, gates):
            return init
        if not self._passes(safe, gates):
            return None
        sick, well = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (sick + well) / 2
            if self._passes(init + middle * (safe - init), gates):
                well = middle
            else:
                sick = middle
        return np.asarray(init + well * (safe - init))

    def _values(self, z: np.ndarray) -> np.ndarray:
        """Values at `z`, not clipped: an interval's curvature looks a little over bounds."""
        return np.where(self._is_log, np.exp(np.where(self._is_log, z, 0.0)), z)

    def _passes(self, z: np.ndarray, gates: Gates) -> bool:
        return self._evaluate(z, gates) is not None

    def _evaluate(self, z: np.ndarray, gates: Gates) -> Estimate | None:
        """The estimate at `z`, one more of the search's; None where a gate refuses it."""
        self._evaluations += 1
        e = self.estimate(self._values(z))
        return e if examine(e, self._columns, gates).ok else None

    def _objective(self, z: np.ndarray, gates: Gates) -> Point | None:
        e = self._evaluate(z, gates)
        if e is None:
            return None
        x = self._values(z)
        gradient = e.gradient[self._columns] * self._box.slopes(x)
        return Point(e.value, gradient, self._hessian(x, e, gradient))

    def _hessian(self, x: np.ndarray, e: Estimate, gradient: np.ndarray) -> np.ndarray:
        """(d, d) at values x (d,), in scaled coordinates, in which the gradient (d,) is given."""
        point, slopes = self._coefficients(x), self._box.slopes(x)
        h = hessian(self.pool, e, float(point[0]), point[1:], self.gamma)
        among = h[np.ix_(self._columns, self._columns)] * np.outer(slopes, slopes)
        return among + np.diag(np.where(self._is_log, gradient, 0.0))

    def _influence(self, z: np.ndarray) -> np.ndarray:
        x = self._values(z)
        return self.estimate(x).gradient_influence[:, self._columns] * self._box.slopes(x)

    def _interval(self, solution: Solution) -> Interval | None:
        if solution.outcome is not Outcome.INTERIOR:
            return None
        return sandwich(self._influence, solution.z, solution.point.hessian)

    def values_of(self, interval: Interval) -> tuple[np.ndarray, np.ndarray]:
        """An interval's ends as values (d,), (d,) of the variables, inside their box."""
        return self._box.from_scaled(interval.low), self._box.from_scaled(interval.high)
