"""Why a reward run ends: each reason says what it means and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from raybilevel.problems.base import Arrays, Status, Stop
from raybilevel.problems.reward.groups.solution import GroupedSolution
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_plan import PoolPlan
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.problems.reward.pool_solver import solve, within_gates
from raybilevel.problems.reward.targets.solution import TargetSolution
from raybilevel.upper.interval import MIN_CURVATURE_Z
from raybilevel.upper.optimisers.newton import Termination


class StopReason(Enum):
    """Ways to end, and their remedies."""

    CONVERGED = (
        Status.CONVERGED,
        "the gradient vanishes at best_params, and every health gate passes there",
    )
    FIXED = (Status.CONVERGED, "nothing is tuned, and every health gate passes")
    AT_BOUND = (
        Status.AT_BOUND,
        "the objective still falls beyond the bound of {pinned}, so there is no interval; "
        "move that bound if values beyond make sense, and go on with --resume",
    )
    FRONTIER = (
        Status.STOPPED,
        "best_params is as far as a pool of {n} samples can be believed, and no optimum: the "
        "objective still falls beyond, where {failures}; {grow} put a price into the upper "
        "reward (realism, diversity), or raise {low_lambda}",
    )
    NOWHERE = (
        Status.STOPPED,
        "a pool of {n} samples can be believed nowhere between init and p0 ({failures}); {grow} "
        "raise {high_lambda}",
    )
    FLAT = (
        Status.STOPPED,
        "the objective is flat around best_params for all that a pool of {n} samples can tell "
        "(curvature {curvature:.1f} standard errors above zero, {needed_curvature:.0f} are "
        "needed); {grow} check that the upper reward depends on what is tuned",
    )
    EXHAUSTED = (
        Status.STOPPED,
        "the search did not converge in its iterations; look at the picture of the objective, and "
        "narrow the bounds",
    )
    REACHED = (
        Status.CONVERGED,
        "at best_params {named} is {aim:.4g}, and every health gate passes there",
    )
    OUT_OF_REACH = (
        Status.AT_BOUND,
        "no lambda in its bounds brings {named} to {aim:.4g}: between {low:.4g} and {high:.4g} it "
        "is {least:.4g} to {most:.4g}; move a bound of lambda, or the target",
    )
    BEYOND = (
        Status.STOPPED,
        "best_params is as far as a pool of {n} samples can be believed, and does not bring "
        "{named} to {aim:.4g}: from lambda {high:.4g} down to there it is {least:.4g} to "
        "{most:.4g}, and beyond {failures}; {grow} move the target",
    )
    LEVEL = (
        Status.STOPPED,
        "{named} hardly changes with lambda around best_params for all that a pool of {n} samples "
        "can tell (its slope is {curvature:.1f} standard errors from zero, {needed_curvature:.0f} "
        "are needed); {grow} move the target",
    )

    def stop(self, **facts: object) -> Stop:
        """The stop with its facts filled in."""
        status, text = self.value
        return Stop(status, text.format(**facts))


_REASONS = {
    None: StopReason.NOWHERE,
    Termination.FRONTIER: StopReason.FRONTIER,
    Termination.AT_BOUND: StopReason.AT_BOUND,
    Termination.EXHAUSTED: StopReason.EXHAUSTED,
    Termination.INTERIOR: StopReason.CONVERGED,
}
_HARDLY_MORE = 1.1
_WORSE = [Status.CONVERGED, Status.AT_BOUND, Status.STOPPED]
_OF_TARGET = {
    StopReason.CONVERGED: StopReason.REACHED,
    StopReason.AT_BOUND: StopReason.OUT_OF_REACH,
    StopReason.FRONTIER: StopReason.BEYOND,
    StopReason.FLAT: StopReason.LEVEL,
}


def solve_round(objective: PoolObjective, plan: PoolPlan) -> tuple[PoolSolution, Stop | None]:
    """What a round's pool says, and why to end with it; None where it should grow.

    While it should, one search does: an optimum at which gates fail says how many samples it wants.
    """
    solution = solve(objective, may_grow=True)
    stop = stop_with(solution, plan)
    if stop is None or solution.trusted:
        return solution, stop
    solution = within_gates(solution)
    return solution, stop_with(solution, plan)


def stop_with(solution: PoolSolution, plan: PoolPlan) -> Stop | None:
    """Why to end with this pool; None where it should grow."""
    found = endings(solution)
    may_grow = any(0 < ending.needed <= plan.limit for ending in found.values())
    if solution.n < plan.size or (solution.n < plan.limit and may_grow):
        return None
    return joined_stop(found, plan.remedy)


def joined_stop(found: Mapping[str, Ending], remedy: str) -> Stop:
    """The stop of all groups together: the worst."""
    stops = {group: _stop(ending, remedy) for group, ending in found.items()}
    status = max((stop.status for stop in stops.values()), key=_WORSE.index)
    return Stop(status, "; ".join(_said(found, stops)))


def _said(found: Mapping[str, Ending], stops: Mapping[str, Stop]) -> Iterator[str]:
    """The reason; of groups each kind of reason, as it is for the first of those that have it."""
    kinds: dict[StopReason, list[str]] = {}
    for group, ending in found.items():
        kinds.setdefault(ending.reason, []).append(group)
    for first, *others in kinds.values():
        more = f" and {len(others)} more" if others else ""
        yield f"{first}{more}: {stops[first].reason}" if first else stops[first].reason


@dataclass(frozen=True)
class Ending:
    """Why a search ended on a pool, or on a group's part of it.

    Attributes
    ----------
    times : samples of the pool over those of the part.
    """

    reason: StopReason
    solution: PoolSolution
    times: float

    @property
    def needed(self) -> float:
        """The size of the whole pool at which the reason would go away."""
        return self.times * samples_needed(self.solution, self.reason)


def endings(solution: PoolSolution) -> dict[str, Ending]:
    """By group, or of all without a name."""
    parts = solution.parts if isinstance(solution, GroupedSolution) else {"": solution}
    return {g: Ending(stop_reason(part), part, solution.n / part.n) for g, part in parts.items()}


def stop_blackened(state: Arrays) -> Stop | None:
    """The end of a run whose model blackens images: their rewards say nothing of what it draws."""
    blackened = int(state.get("blackened", 0))
    if not blackened:
        return None
    count = len(state["pool/seed"])
    return Stop(
        Status.STOPPED,
        f"the pipeline's safety checker has blackened {blackened:,} of {count:,} samples, whose "
        "rewards are those of black images; give a pipeline without one, or other prompts",
    )


def stop_reason(solution: PoolSolution) -> StopReason:
    """Which reason a finished pool gives."""
    if not solution.trusted:
        return StopReason.FRONTIER
    reason = _REASONS[solution.termination]
    if reason is StopReason.CONVERGED and not len(solution.x):  # a group's values may be numbers
        return StopReason.FIXED
    interval = solution.interval
    flat = reason is StopReason.CONVERGED and interval is not None and interval.is_flat
    return StopReason.FLAT if flat else reason


def samples_needed(solution: PoolSolution, reason: StopReason) -> float:
    """The pool size at which the reason would go away; inf where no size helps, 0 where none is.

    An optimum at which gates fail asks for what they lack there. A frontier asks for what its
    nearest refused point lacks, and moves on from round to round.
    """
    if reason is StopReason.FLAT:
        assert solution.interval is not None, "only an interior optimum is flat"
        z = solution.interval.curvature_z
        return solution.n * (MIN_CURVATURE_Z / z) ** 2 if 0 < z < math.inf else math.inf
    if reason in (StopReason.FRONTIER, StopReason.NOWHERE):
        seen = solution.refused if solution.trusted else solution.point.diagnostics
        assert seen is not None, "a frontier has a refused point"
        if seen.pareto_k >= 1:  # the estimate has no mean, whatever the size
            return math.inf
        return max(seen.samples_needed, solution.n + 1)
    return 0.0


def samples_wanted(solution: PoolSolution) -> float:
    """The pool size at which its optimum may be known; nan where nobody can tell, or it is.

    At a frontier what the optimum beyond asks for, if the pool shows one: how far it is to one that
    nobody has seen is not known.
    """
    reason = stop_reason(solution)
    if reason is StopReason.FRONTIER and solution.ahead is None:
        return math.nan
    needed = samples_needed(solution, reason)
    if solution.ahead is not None:
        needed = max(needed, solution.ahead.samples_needed)
    return needed if 0 < needed < math.inf else math.nan


def _stop(ending: Ending, remedy: str) -> Stop:
    """The reason with the facts of this run in its text."""
    reason, solution = ending.reason, ending.solution
    variables = solution.point.objective.variables
    pinned = [v.name for v, held in zip(variables, solution.pinned, strict=True) if held]
    of_target = {}
    if isinstance(solution, TargetSolution):
        reason, of_target = _OF_TARGET.get(reason, reason), solution.facts
    return reason.stop(
        n=f"{solution.n:,}",
        pinned=" and ".join(pinned),
        failures=", ".join(solution.refused.failures) if solution.refused else "",
        curvature=solution.interval.curvature_z if solution.interval else math.nan,
        needed_curvature=MIN_CURVATURE_Z,
        grow=_remedy(ending, remedy),
        **_lambdas(solution),
        **of_target,
    )


def _lambdas(solution: PoolSolution) -> dict[str, str]:
    """What brings p_x closer to p0, in words."""
    tuned = solution.point.objective.coefficients.tune_lambda
    ends = ("low", "high")
    return {f"{end}_lambda": f"the {end} bound of lambda" if tuned else "lambda_" for end in ends}


def _remedy(ending: Ending, remedy: str) -> str:
    """What a larger pool could do, to two digits: it is a guess from this one."""
    solution, needed = ending.solution, ending.needed
    if math.isinf(needed):
        return "more samples will not help:"
    if solution.ahead is None or not solution.ahead.failures:
        if needed < _HARDLY_MORE * ending.times * solution.n:  # the edge alone, which then moves on
            return f"{remedy}, or"
        return f"{remedy} (to {math.ceil(needed):,} or more), or"
    wanted = float(f"{max(ending.times * solution.ahead.samples_needed, needed):.2g}")
    what = "target" if isinstance(solution, TargetSolution) else "optimum"
    return f"{remedy} (the {what} that it shows beyond asks for about {wanted:,.0f}), or"
