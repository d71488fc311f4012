"""A round that draws guided paths: at first a few of p0, then stratum by stratum to the optimum."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.reward.drawing.paths import begin, guided, is_guided
from raybilevel.problems.reward.guiding.pilots import Pilot
from raybilevel.problems.reward.pool_plan import PoolPlan, counted, grown, size_of
from raybilevel.problems.reward.shards import DrawRewards, GuidePaths
from raybilevel.upper.guidance.schedule import choose_schedule

PILOT = 256
"""Paths that the schedule is chosen on, and nothing else."""


def next_state(
    state: Arrays, plan: PoolPlan, shares: np.ndarray, towards: np.ndarray
) -> Generator[Stage, Output, Arrays]:
    """The state with a slice more, of its last stratum; before the first one comes the pilot.

    Parameters
    ----------
    shares : (C,) what each prompt counts.
    towards : (C, K) the s that the schedule of guidance is chosen for.
    """
    if not is_guided(state):
        state = yield from piloted(state, plan, shares, towards)
    have, first = int(np.sum(state["pool/stratum"] >= 0)), size_of(state)
    slices = plan.of_samples(state, first, first + min(plan.round_size, plan.limit - have))
    drawn = yield Stage(tuple(of_last_stratum(state, shard) for shard in slices))
    return grown_on_last_stratum(state, drawn)


def grown_on_last_stratum(state: Arrays, drawn: Output) -> Arrays:
    """The state with drawn rows."""
    strata = np.full(len(drawn.rows["pool/seed"]), len(state["guided_scales"]) - 1)
    return grown(state, drawn.rows | {"pool/stratum": strata}) | counted(state, drawn.sums)


def of_last_stratum(state: Arrays, shard: DrawRewards) -> GuidePaths:
    """The samples of a shard as guided paths."""
    strata = np.full(len(shard.seeds), len(state["guided_scales"]) - 1)
    prompts = None if shard.prompts is None else np.array(shard.prompts)
    return guided(state, np.array(shard.seeds), prompts, strata)


def piloted(
    state: Arrays, plan: PoolPlan, shares: np.ndarray, towards: np.ndarray
) -> Generator[Stage, Output, Arrays]:
    """The state with a schedule, chosen on paths of p0 that are in no pool."""
    pilot = Pilot.begin(state, plan, shares, 0, PILOT)
    s = pilot.scales(towards)
    drawn = yield pilot.stage(np.zeros_like(s), None)
    rows = drawn.rows
    rewards = np.column_stack([rows[c] for c in rows if c.startswith("pool/lower.")])
    u = np.einsum("nk,ntk->nt", s, rows["u"])
    v = np.einsum("nk,ntkl,nl->nt", s, rows["v"], s)
    levels = rows["alphas_cumprod"][0]
    taus = choose_schedule(pilot.of, levels, np.sum(s * rewards, 1), u, v)
    return {**state, **counted(state, drawn.sums), **begin(levels, taus, *towards.shape)}
