"""The reward problem's upper level on one pool: a search for the optimum, and its interval.

F on a pool is free, so the search runs to convergence on each pool; and it starts from the same
place on each, so that what it finds depends on the pool alone.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

import numpy as np

from raybilevel.problems.reward.groups.joint import JointObjective
from raybilevel.problems.reward.groups.objective import GroupedObjective
from raybilevel.problems.reward.groups.solution import GroupedSolution
from raybilevel.problems.reward.intervals import intervals
from raybilevel.problems.reward.pool_objective import Hessian, PoolObjective
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.problems.reward.targets.objective import TargetObjective
from raybilevel.problems.reward.targets.solver import TargetSolver
from raybilevel.upper.diagnostics import Diagnostics
from raybilevel.upper.interval import Interval
from raybilevel.upper.optimisers.newton import Point, Solution, Termination, minimise
from raybilevel.upper.penalty import Estimate
from raybilevel.upper.variables import Box

_HALVINGS = 10
_OPTIMA = (Termination.INTERIOR, Termination.AT_BOUND)


def solve(objective: PoolObjective, *, may_grow: bool = False) -> PoolSolution:
    """All that a pool has to say, computed once: at finite gamma the optimum of F beside its own.

    The penalty moves the optimum (Xiao et al. 2025, arXiv 2502.08808, section 3.1). Groups of
    prompts that share no variable are searched one after the other.

    Parameters
    ----------
    may_grow : whether an optimum at which gates fail is answer enough, as it says how many samples
        it wants; else the search is done again, for how far the pool can be believed.
    """
    if isinstance(objective, GroupedObjective) and not isinstance(objective, JointObjective):
        found = {g: solve(part.objective, may_grow=may_grow) for g, part in objective.parts.items()}
        return GroupedSolution.of(objective, found)
    solution = searched(objective, may_grow=may_grow)
    if math.isinf(objective.gamma):
        return solution
    exact = searched(objective.at_gamma(math.inf))
    least = exact.x if exact.believed else np.full(len(exact.x), math.nan)
    return replace(solution, unpenalised=least)


def within_gates(solution: PoolSolution) -> PoolSolution:
    """What a pool that may not grow says in place of an optimum at which gates fail."""
    if solution.trusted:
        return solution
    objective = solution.point.objective
    if isinstance(solution, GroupedSolution):
        assert isinstance(objective, GroupedObjective), "its parts are of groups"
        return GroupedSolution.of(
            objective, {g: within_gates(p) for g, p in solution.parts.items()}
        )
    return PoolSolver(objective).within_gates(solution)


def searched(objective: PoolObjective, *, may_grow: bool = False) -> PoolSolution:
    """Where the objective is least, or a target is reached."""
    if isinstance(objective, TargetObjective):
        return TargetSolver(objective).solve()
    if not objective.variables:
        return _as_it_is(objective)
    return PoolSolver(objective).solve(may_grow=may_grow)


def _as_it_is(objective: PoolObjective) -> PoolSolution:
    """Where nothing is tuned, as in a group of prompts whose values are fixed."""
    point = objective.at(np.empty(0))
    ok = point.diagnostics.ok
    return PoolSolution(
        point=point,
        termination=Termination.INTERIOR if ok else None,
        interval=None,
        interval_of_prompts=None,
        pinned=np.empty(0, dtype=bool),
        refused=None if ok else point.diagnostics,
        evaluations=1,
    )


class PoolSolver:
    """Minimises an objective on its pool, once."""

    def __init__(self, objective: PoolObjective) -> None:
        self._objective = objective
        self._box = Box(objective.variables)
        self._is_log = np.array([v.scale == "log" for v in objective.variables], dtype=bool)
        self._evaluations = 0

    def solve(self, *, may_grow: bool = False) -> PoolSolution:
        """Search from the variables' init, or from the nearest point where all gates pass.

        On its way the search heeds the gates of size alone, since a single sample can spoil the
        others far from the optimum. Where it ends all gates count: if one fails there, the search
        is done again within all of them, to say how far the pool can be believed.
        """
        free = self._search(of_size=True)
        if free is not None and free.point.diagnostics.ok:
            return free
        if free is None or free.termination not in _OPTIMA:
            return self._gated()
        shown = replace(free, trusted=False)
        return shown if may_grow else self.within_gates(shown)

    def within_gates(self, shown: PoolSolution) -> PoolSolution:
        """How far towards an optimum at which gates fail the pool can be believed."""
        self._evaluations = shown.evaluations
        found = self._gated()
        return replace(found, ahead=shown.point.diagnostics, unpenalised=shown.unpenalised)

    def _gated(self) -> PoolSolution:
        return self._search(of_size=False) or self._nowhere()

    def _search(self, *, of_size: bool) -> PoolSolution | None:
        """Minimise where gates pass, of size or all; None if nowhere between init and p0."""
        start = self._start(of_size)
        if start is None:
            return None
        solution = minimise(
            lambda z: self._derivatives(z, of_size), start, self._box.low, self._box.high
        )
        interval, interval_of_prompts = self._intervals(solution)
        return PoolSolution(
            point=self._objective.at(self._box.from_scaled(solution.z)),
            termination=solution.termination,
            interval=interval,
            interval_of_prompts=interval_of_prompts,
            pinned=solution.pinned,
            refused=self._diagnostics(solution.refused),
            evaluations=self._evaluations,
            refused_x=None if solution.refused is None else self._values(solution.refused),
        )

    def _diagnostics(self, z: np.ndarray | None) -> Diagnostics | None:
        """What all gates see at `z`, if there is such a point."""
        return None if z is None else self._objective.at(self._values(z)).diagnostics

    def _nowhere(self) -> PoolSolution:
        """No search could begin: what the gates say at init, and at the safest point."""
        return PoolSolution(
            point=self._objective.at(self._init),
            termination=None,
            interval=None,
            interval_of_prompts=None,
            pinned=np.zeros(len(self._init), dtype=bool),
            refused=self._objective.at(self._objective.coefficients.safest).diagnostics,
            evaluations=self._evaluations,
        )

    # --- where the search begins ------------------------------------------------------------------

    @cached_property
    def _init(self) -> np.ndarray:
        return np.array([v.init for v in self._objective.variables])

    def _start(self, of_size: bool) -> np.ndarray | None:
        """The point nearest to init on the way to the safest that passes; None if none does."""
        init = self._box.to_scaled(self._init)
        safe = self._box.to_scaled(self._objective.coefficients.safest)
        if self._passes(init, of_size):
            return init
        if not self._passes(safe, of_size):
            return None
        fails, passes = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (fails + passes) / 2
            if self._passes(init + middle * (safe - init), of_size):
                passes = middle
            else:
                fails = middle
        return np.asarray(init + passes * (safe - init))

    # --- the objective in scaled coordinates ------------------------------------------------------

    def _values(self, z: np.ndarray) -> np.ndarray:
        """Values at `z`, not clipped: an interval's curvature looks a little over bounds."""
        return np.where(self._is_log, np.exp(np.where(self._is_log, z, 0.0)), z)

    def _passes(self, z: np.ndarray, of_size: bool) -> bool:
        return self._curved(z, of_size) is not None

    def _curved(self, z: np.ndarray, of_size: bool) -> tuple[Estimate, Hessian] | None:
        """What the pool says at `z`, one more of the search's; None where a gate refuses it."""
        self._evaluations += 1
        e, hessian = self._objective.curved(self._values(z))
        return (e, hessian) if self._objective.examine(e, of_size=of_size).ok else None

    def _derivatives(self, z: np.ndarray, of_size: bool) -> Point | None:
        """Value, gradient and Hessian at `z`; None where a gate refuses it."""
        found = self._curved(z, of_size)
        if found is None:
            return None
        e, hessian = found
        slopes = self._box.slopes(self._values(z))
        gradient = e.gradient[self._objective.columns] * slopes
        of_scale = np.diag(np.where(self._is_log, gradient, 0.0))  # x = exp(z) is curved itself
        return Point(e.value, gradient, hessian() * np.outer(slopes, slopes) + of_scale)

    def _scaled(self, z: np.ndarray) -> tuple[Estimate, np.ndarray]:
        """The estimate at `z`, and the slopes (d,) of its columns there."""
        x = self._values(z)
        return self._objective.estimate(x), self._box.slopes(x)

    def _intervals(self, solution: Solution) -> tuple[Interval | None, Interval | None]:
        """Of the optimum; over prompts for these, by Student's t, and for prompts like these."""
        if solution.termination is not Termination.INTERIOR:
            return None, None
        hessian, df = solution.point.hessian, self._objective.degrees
        return intervals(self._scaled, self._objective.columns, solution.z, hessian, df=df)
