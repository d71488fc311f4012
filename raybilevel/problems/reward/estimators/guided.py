"""Guided paths: a round of them, and what they say."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage, Stop
from raybilevel.problems.reward.estimators.heading import heading
from raybilevel.problems.reward.groups.scales import scales_at
from raybilevel.problems.reward.guiding.rounds import next_state
from raybilevel.problems.reward.guiding.strata import next_scales, stop_of_strata
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.problems.reward.pool_solver import solve
from raybilevel.problems.reward.settings import RewardSettings
from raybilevel.problems.reward.state_objective import drawn_prompts, objective_of, shares_of
from raybilevel.upper.gates import gates_for


def guided(settings: RewardSettings, state: Arrays) -> Generator[Stage, Output, Arrays]:
    """The state with the next slice of paths."""
    drawn = drawn_prompts(settings.prompt_list, state)
    shares = shares_of(settings.prompt_list, state)
    groups = None if drawn is None else drawn.groups
    towards = scales_at(settings.coefficients, state["x"], len(shares), groups)
    return next_state(state, settings.pool_plan, shares, towards)


def solved_on_paths(
    settings: RewardSettings, state: Arrays
) -> tuple[PoolSolution, Stop | None, Arrays]:
    """What the paths say, why to end, and what of the state says where the next stratum is."""
    solution = solve(objective_of(settings, state))
    stop = stop_of_strata(solution, settings.pool_plan)
    if stop is not None:
        return solution, stop, {}
    objective, scales = solution.point.objective, state["guided_scales"]
    assert objective.prompts is not None, "paths are of prompts, or of one"
    asked = gates_for(objective.prompts).min_ess
    further = next_scales(objective.pool, objective.prompts, scales[-1], heading(solution), asked)
    if np.array_equal(further, scales[-1]):
        return solution, None, {}
    return solution, None, {"guided_scales": np.concatenate([scales, further[None]])}
