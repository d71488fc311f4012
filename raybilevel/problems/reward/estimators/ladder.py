"""Samples that are moved down a ladder: a round of it, and what it says."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage, Stop
from raybilevel.problems.reward.annealing.climb import is_on_its_way, next_state
from raybilevel.problems.reward.annealing.convergence import is_beyond, stop_of_ladder
from raybilevel.problems.reward.annealing.rung import next_rung
from raybilevel.problems.reward.annealing.rungs import counting
from raybilevel.problems.reward.estimators.heading import heading
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.problems.reward.pool_solver import solve
from raybilevel.problems.reward.settings import RewardSettings
from raybilevel.problems.reward.state_objective import lower_of, objective_of, of_one, prompts_of


def moved(settings: RewardSettings, state: Arrays) -> Generator[Stage, Output, Arrays]:
    """The state with a rung's next moves."""
    plan = settings.ladder_plan
    if is_on_its_way(state):
        return next_state(state, plan)
    samples = counting(state)
    lower = lower_of(settings, samples)
    prompts = of_one(prompts_of(settings.prompt_list, samples), len(lower))
    return next_state(state, plan, next_rung(samples, plan, prompts, lower))


def solved_on_rungs(
    settings: RewardSettings, state: Arrays
) -> tuple[PoolSolution, Stop | None, Arrays]:
    """What the samples say, why to end, and what of the state says where the ladder goes on."""
    solution = solve(objective_of(settings, state))
    if is_on_its_way(state):
        return solution, None, {}
    arrived, beyond = int(state["rungs_arrived"]), is_beyond(solution)
    onwards = {
        "rungs_heading": heading(solution, past=not (arrived or beyond)),
        "rungs_times": np.array(1 if beyond else 2**arrived),
        "rungs_arrived": np.array(arrived + (not beyond)),
    }
    return solution, stop_of_ladder(solution, settings.size, arrived), onwards
