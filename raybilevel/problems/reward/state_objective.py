"""What a run's state stands for: the objective on its pool, and which prompts are in it."""

from __future__ import annotations

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.groups.coefficients import GroupedCoefficients
from raybilevel.problems.reward.groups.joint import JointObjective
from raybilevel.problems.reward.groups.objective import GroupedObjective
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_plan import prompt_places
from raybilevel.problems.reward.prompts import PromptList
from raybilevel.problems.reward.settings import RewardSettings
from raybilevel.problems.reward.targets.objective import TargetObjective
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts


def objective_of(settings: RewardSettings, state: Arrays) -> PoolObjective:
    """The upper objective on a state's pool.

    Raises
    ------
    InputError
        If its table, or its list of prompts, has changed since the run began.
    """
    if settings.table is not None:
        settings.table.check_same(state["table_digest"])
    lower = np.column_stack([state[f"pool/lower.{name}"] for name in settings.lower_rewards])
    prompts, coefficients = _prompts_of(settings.prompt_list, state), settings.coefficients
    if settings.target is not None:
        column = settings.target.column(settings.lower_rewards)
        upper = np.zeros(len(lower)) if column is None else -state[f"pool/{column}"]
        pool = Pool(upper, lower)
        return TargetObjective(pool, coefficients, prompts=prompts, target=settings.target)
    pool = Pool(state["pool/upper"], lower)
    if not isinstance(coefficients, GroupedCoefficients):
        return PoolObjective(pool, coefficients, settings.gamma, prompts)
    assert settings.prompt_list is not None, "groups are those of prompts"
    assert settings.prompt_list.groups is not None, "they were asked for when they were read"
    if prompts is None:  # one prompt is a group then
        prompts = Prompts(np.zeros(pool.n, dtype=np.int64), np.ones(1))
    groups = settings.prompt_list.groups
    kind = JointObjective if coefficients.shared else GroupedObjective
    return kind(pool, coefficients, settings.gamma, prompts, groups=groups)


def drawn_prompts(prompts: PromptList | None, state: Arrays) -> PromptList | None:
    """Those of the list that a state's run draws from."""
    return None if prompts is None else prompts.at(prompt_places(state, len(prompts)))


def _prompts_of(prompts: PromptList | None, state: Arrays) -> Prompts | None:
    """Which prompt each sample of a state's pool is of; None where all are of one, or of none."""
    if prompts is None:
        return None
    prompts.check_same(state["prompts_digest"])
    places = prompt_places(state, len(prompts))
    if len(places) == 1:
        return None
    return Prompts(np.searchsorted(places, state["pool/prompt"]), prompts.at(places).shares)
