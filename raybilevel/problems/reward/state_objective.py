"""What a run's state stands for: the objective on its pool, and which prompts are in it."""

from __future__ import annotations

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.prompts.prompt_list import PromptList, prompt_places
from raybilevel.problems.reward.annealing.rungs import counting, is_annealing, strata_of
from raybilevel.problems.reward.drawing.paths import is_guided, paths_of
from raybilevel.problems.reward.groups.coefficients import GroupedCoefficients
from raybilevel.problems.reward.groups.joint import JointObjective
from raybilevel.problems.reward.groups.objective import GroupedObjective
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.settings import RewardSettings
from raybilevel.problems.reward.targets.objective import TargetObjective
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts


def objective_of(settings: RewardSettings, state: Arrays) -> PoolObjective:
    """The upper objective on those of a state's samples that count.

    Raises
    ------
    InputError
        If its table, or its list of prompts, has changed since the run began.
    """
    if settings.table is not None:
        settings.table.check_same(state["table_digest"])
    state = counting(state)
    lower, coefficients = lower_of(settings, state), settings.coefficients
    prompts, strata, base = prompts_of(settings.prompt_list, state), None, None
    if is_annealing(state):
        strata = strata_of(state, of_one(prompts, len(lower)), lower, settings.ladder_plan)
        prompts, base = strata.islands, strata.log_base
    if is_guided(state):
        prompts = of_one(prompts, len(lower))
        base = paths_of(state, prompts).log_base
    if settings.target is not None:
        column = settings.target.column(settings.lower_rewards)
        upper = np.zeros(len(lower)) if column is None else -state[f"pool/{column}"]
        pool = Pool(upper, lower, base)
        return TargetObjective(
            pool, coefficients, prompts=prompts, strata=strata, target=settings.target
        )
    pool = Pool(state["pool/upper"], lower, base)
    if not isinstance(coefficients, GroupedCoefficients):
        return PoolObjective(pool, coefficients, settings.gamma, prompts, strata)
    assert settings.prompt_list is not None, "groups are those of prompts"
    assert settings.prompt_list.groups is not None, "they were asked for when they were read"
    prompts = of_one(prompts, pool.n)  # one prompt is a group then
    groups = settings.prompt_list.groups
    kind = JointObjective if coefficients.shared else GroupedObjective
    return kind(pool, coefficients, settings.gamma, prompts, strata, groups=groups)


def lower_of(settings: RewardSettings, state: Arrays) -> np.ndarray:
    """The lower rewards (n, K) of a state's pool."""
    return np.column_stack([state[f"pool/lower.{name}"] for name in settings.lower_rewards])


def of_one(prompts: Prompts | None, n: int) -> Prompts:
    """Which prompt each of n samples is of, where they may be of one, or of none."""
    return Prompts(np.zeros(n, dtype=np.int64), np.ones(1)) if prompts is None else prompts


def drawn_prompts(prompts: PromptList | None, state: Arrays) -> PromptList | None:
    """Those of the list that a state's run draws from."""
    return None if prompts is None else prompts.at(prompt_places(state, len(prompts)))


def shares_of(prompts: PromptList | None, state: Arrays) -> np.ndarray:
    """What each of them counts (C,): one, where there are none."""
    drawn = drawn_prompts(prompts, state)
    return np.ones(1) if drawn is None else drawn.shares


def prompts_of(prompts: PromptList | None, state: Arrays) -> Prompts | None:
    """Which prompt each sample of a state's pool is of; None where all are of one, or of none."""
    if prompts is None:
        return None
    prompts.check_same(state["prompts_digest"])
    places = prompt_places(state, len(prompts))
    if len(places) == 1:
        return None
    return Prompts(np.searchsorted(places, state["pool/prompt"]), prompts.at(places).shares)
