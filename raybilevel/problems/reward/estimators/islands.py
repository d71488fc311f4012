"""Guided paths that are resampled in islands: a rung of them; what it says is as of any ladder."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.reward.guiding.island_ladder import IslandLadder, next_islands
from raybilevel.problems.reward.guiding.rounds import piloted
from raybilevel.problems.reward.settings import RewardSettings
from raybilevel.problems.reward.state_objective import lower_of, of_one, prompts_of, shares_of


def resampled(settings: RewardSettings, state: Arrays) -> Generator[Stage, Output, Arrays]:
    """The state with the next rung; before the first one comes the pilot."""
    plan = settings.ladder_plan
    assert isinstance(plan, IslandLadder), "its rungs are islands of guided paths"
    if "guided_taus" not in state:
        shares = shares_of(settings.prompt_list, state)
        towards = np.broadcast_to(state["rungs_heading"], state["rungs_scale"].shape[1:])
        state = yield from piloted(state, settings.pool_plan, shares, towards)
    lower = lower_of(settings, state)
    prompts = of_one(prompts_of(settings.prompt_list, state), len(lower))
    return (yield from next_islands(state, plan, prompts, lower))
