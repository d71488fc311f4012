"""Samples of p0: a round of them, and what they say."""

from __future__ import annotations

from collections.abc import Generator

from raybilevel.problems.base import Arrays, Output, Stage, Stop
from raybilevel.problems.reward.annealing.rungs import columns_of_p0
from raybilevel.problems.reward.convergence import solve_round
from raybilevel.problems.reward.pool_plan import counted, grown
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.problems.reward.settings import RewardSettings
from raybilevel.problems.reward.state_objective import objective_of


def drawn(settings: RewardSettings, state: Arrays) -> Generator[Stage, Output, Arrays]:
    """The state with the next slice of the pool."""
    found = yield settings.pool_plan.draw(state)
    rows = found.rows
    if "pool/rung" in state:
        rows = columns_of_p0(state, rows, settings.ladder_plan)
    return grown(state, rows) | counted(state, found.sums)


def solved_on_pool(settings: RewardSettings, state: Arrays) -> tuple[PoolSolution, Stop | None]:
    """What the pool says, and why to end."""
    return solve_round(objective_of(settings, state), settings.pool_plan)
