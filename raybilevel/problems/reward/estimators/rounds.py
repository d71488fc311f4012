"""Which estimator a round is of: what it draws, and what its samples say."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage, Status, Stop
from raybilevel.problems.reward.annealing.rungs import begin, counting, is_annealing, row_of_rung
from raybilevel.problems.reward.drawing.paths import is_guided
from raybilevel.problems.reward.estimators.choice import (
    begin_choice,
    decided,
    is_undecided,
    row_of_choice,
)
from raybilevel.problems.reward.estimators.guided import guided, solved_on_paths
from raybilevel.problems.reward.estimators.islands import resampled
from raybilevel.problems.reward.estimators.judged import Judged
from raybilevel.problems.reward.estimators.ladder import moved, solved_on_rungs
from raybilevel.problems.reward.estimators.pool import drawn, solved_on_pool
from raybilevel.problems.reward.estimators.unweighted import (
    paired,
    solved_on_pairs,
    weights_of_pairs,
)
from raybilevel.problems.reward.guiding.island_ladder import row_of_islands
from raybilevel.problems.reward.history import row, unknown_row
from raybilevel.problems.reward.pool_objective import PoolPoint
from raybilevel.problems.reward.pool_plan import size_of
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.problems.reward.settings import RewardSettings


def advanced(settings: RewardSettings, state: Arrays) -> Generator[Stage, Output, Arrays]:
    """The state with a round's samples."""
    if settings.pairs:
        return (yield from paired(settings, state))
    if is_undecided(state):
        state = yield from decided(settings, state)
        if not is_guided(state):
            state = state | _on_the_ladder(settings, state)[2]
    if settings.guides_alone or is_guided(state):
        return (yield from guided(settings, state))
    further = resampled if settings.resamples else moved
    return (yield from (further if is_annealing(state) else drawn)(settings, state))


def judged(settings: RewardSettings, state: Arrays) -> Judged:
    """What the samples say, and why to end; a state that goes on knows where to."""
    if settings.pairs:
        return solved_on_pairs(settings, state)
    solution, stop, onwards = _solved(settings, state)
    x, state = solution.x, state | onwards
    metrics = row(solution, counting(state).get("pool/held_out"))
    if is_guided(state) and not (settings.guides_alone or solution.believed):
        x = state["x"]  # what p0's pool has found stands until paths say more
        metrics |= unknown_row(settings.variables, x, solution.n)
    metrics |= row_of_rung(state) | row_of_choice(state)
    if settings.resamples and is_annealing(state):
        metrics |= row_of_islands(state)
    return Judged(solution.point, metrics, stop, {**onwards, "x": x})


def weights_at(settings: RewardSettings, state: Arrays, point: PoolPoint) -> np.ndarray:
    """What the samples that count (m,) weigh where a run stands, summing to one."""
    return weights_of_pairs(settings, state) if settings.pairs else point.weights


def _solved(settings: RewardSettings, state: Arrays) -> tuple[PoolSolution, Stop | None, Arrays]:
    """What the samples say; where guided ones lead to no end, samples are moved from then on."""
    if settings.guides_alone:
        return solved_on_paths(settings, state)
    if is_annealing(state):
        return solved_on_rungs(settings, state)
    if is_guided(state):
        if state["without_gradient"].any():
            return _on_the_ladder(settings, state)
        solution, stop, onwards = solved_on_paths(settings, state)
        if stop is None or stop.status is not Status.STOPPED:
            return solution, stop, onwards
        return _on_the_ladder(settings, state)
    return _solved_on_p0(settings, state)


def _solved_on_p0(
    settings: RewardSettings, state: Arrays
) -> tuple[PoolSolution, Stop | None, Arrays]:
    """Where they say too little the state knows what is next: a ladder, or pilots."""
    solution, stop = solved_on_pool(settings, state)
    if not _begins(settings, state, stop):
        return solution, stop, {}
    on_rungs = _on_the_ladder(settings, state)
    if not settings.may_guide:
        return on_rungs
    return solution, None, begin_choice(settings, state, on_rungs[2]["rungs_heading"])


def _on_the_ladder(
    settings: RewardSettings, state: Arrays
) -> tuple[PoolSolution, Stop | None, Arrays]:
    """The same where a ladder begins."""
    begun = begin(settings.ladder_plan, settings.prompt_count or 1, len(settings.lower_rewards))
    solution, stop, onwards = solved_on_rungs(settings, state | begun)
    return solution, stop, begun | onwards


def _begins(settings: RewardSettings, state: Arrays, stop: Stop | None) -> bool:
    """Whether samples are moved from now on."""
    plan = settings.pool_plan
    if "pool/rung" not in state or size_of(state) < plan.size:
        return False
    if settings.resamples:
        return True
    if "fixed" in state:
        return False
    if settings.estimator == "annealed":
        return True
    return stop is not None and stop.status is Status.STOPPED
