"""The lambda at which p_x has a target, on one pool, and how surely.

From the high bound, where p_x is nearest to p0, lambda goes down to where the target is crossed
first: what lies beyond is further from p0 than it has to be. The interval is that of an
M-estimator: the sandwich of the equation (what is reached) - target = 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from raybilevel.problems.reward.intervals import intervals
from raybilevel.problems.reward.pool_objective import PoolPoint
from raybilevel.problems.reward.targets.objective import TargetObjective, equation
from raybilevel.problems.reward.targets.solution import TargetSolution
from raybilevel.upper.crossing import Walk, walk_to
from raybilevel.upper.interval import Interval
from raybilevel.upper.optimisers.newton import Termination
from raybilevel.upper.penalty import Estimate


class TargetSolver:
    """Looks for a target on its pool, once."""

    def __init__(self, objective: TargetObjective) -> None:
        self._objective, self._target = objective, objective.target
        (self._variable,) = objective.variables
        self._evaluations = 0

    def solve(self) -> TargetSolution:
        """As `PoolSolver.solve`: on the way the gates of size count, where it ends all of them.

        If one fails there, the nearest lambda before it at which all pass is how far the pool can
        be believed.
        """
        v = self._variable
        way = walk_to(
            self._target.value, self._gated(of_size=True), math.log(v.high), math.log(v.low)
        )
        termination, z = self._end(way)
        if termination is None or self._at(z).diagnostics.ok:
            return self._solution(termination, z, way, way.refused)
        back = way.back_from(z, self._gated(of_size=False))
        if not back.zs:
            return self._solution(None, way.zs[0], way, way.zs[0])
        found = self._solution(Termination.FRONTIER, back.zs[-1], way, back.refused)
        at_end = termination is not Termination.FRONTIER
        return replace(found, ahead=self._at(z).diagnostics) if at_end else found

    def _solution(
        self, termination: Termination | None, z: float, way: Walk, refused: float | None
    ) -> TargetSolution:
        """At log lambda `z`, with what was seen on the way there."""
        inside = termination is Termination.INTERIOR
        whole = termination is Termination.AT_BOUND
        seen = [(self._inside(a), b) for a, b in zip(way.zs, way.values, strict=True)
                if whole or a >= z] or [(self._inside(z), math.nan)]  # fmt: skip
        lambdas, values = zip(*seen, strict=True)
        point = self._at(z)
        interval, interval_of_prompts = self._intervals(point, way) if inside else (None, None)
        return TargetSolution(
            point=point,
            termination=termination,
            interval=interval,
            interval_of_prompts=interval_of_prompts,
            pinned=np.array([whole]),
            refused=None if inside or refused is None else self._at(refused).diagnostics,
            refused_x=None if refused is None else self._at(refused).x,
            evaluations=self._evaluations,
            target=self._target,
            seen=(min(lambdas), max(lambdas)),
            reached=(min(values), max(values)),
        )

    # --- the way down, by the logarithm z of lambda -----------------------------------------------

    def _gated(self, *, of_size: bool) -> Callable[[float], tuple[float, bool]]:
        """What is reached at z, and whether gates pass there: those of size, or all."""

        def value(z: float) -> tuple[float, bool]:
            self._evaluations += 1
            e = self._objective.estimate(np.array([self._inside(z)]))
            return e.value, self._objective.examine(e, of_size=of_size).ok

        return value

    def _at(self, z: float) -> PoolPoint:
        return self._objective.at(np.array([self._inside(z)]))

    def _inside(self, z: float) -> float:
        """Lambda, which rounding may have brought out of the box."""
        return min(max(math.exp(z), self._variable.low), self._variable.high)

    def _end(self, way: Walk) -> tuple[Termination | None, float]:
        """How the way down ended, and where."""
        if not way.zs:
            return None, math.log(self._variable.high)
        if way.crossed:
            return Termination.INTERIOR, way.root()
        beyond = self._target.kl is not None and way.begins_above  # it only grows on the way
        if way.refused is not None and not beyond:
            return Termination.FRONTIER, way.zs[-1]
        return Termination.AT_BOUND, self._nearest(way)

    def _nearest(self, way: Walk) -> float:
        """Where a target that is not reached comes nearest; where it is kept all along the end."""
        if self._target.kl is None and way.begins_above:
            return way.zs[-1]
        gaps = [abs(value - self._target.value) for value in way.values]
        return way.zs[int(np.argmin(gaps))]

    # --- the interval -----------------------------------------------------------------------------

    def _intervals(self, point: PoolPoint, way: Walk) -> tuple[Interval, Interval | None]:
        """In lambda's scaled coordinate, by Student's t; over prompts for these, and such as these.

        Of what rises where lambda does: its slope is the equation's Hessian.
        """
        v, (lambda_,), sign = self._variable, point.x, 1.0 if way.begins_above else -1.0

        def at(scaled: np.ndarray) -> tuple[Estimate, np.ndarray]:
            x = np.exp(scaled) if v.scale == "log" else scaled  # a little over bounds, not clipped
            return equation(self._objective.estimate(x)), np.array([sign])

        z, slope = np.array([v.to_scaled(lambda_)]), point.estimate.gradient[:1, None]
        hessian = sign * slope * v.slope(lambda_)
        return intervals(at, [0], z, hessian, df=self._objective.degrees)
