"""Rounds of guidance alone: pairs of paths at where a run stands, one after the other."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.reward.drawing.paths import begin, is_guided, rows_of
from raybilevel.problems.reward.guiding.rounds import grown_on_last_stratum, of_last_stratum
from raybilevel.problems.reward.pool_plan import PoolPlan, size_of
from raybilevel.problems.reward.shards import GuidePairs, GuidePaths

_P0 = 256
"""Unguided paths to begin with: by them the pool's weights are bounded."""


@dataclass(frozen=True)
class PairsPlan:
    """How many pairs a round draws, and how many rounds there are.

    Attributes
    ----------
    pool : how what is drawn is spread over prompts and shards.
    first : paths of p0; step : pairs a round.
    """

    pool: PoolPlan
    first: int
    step: int

    @classmethod
    def of(cls, pool: PoolPlan) -> PairsPlan:
        """Of pools of p_x of that size: two paths of each prompt at least."""
        prompts = pool.prompts or 1
        first = max(min(_P0, pool.round_size, pool.limit // 4) // prompts, 2) * prompts
        step = max(min(pool.round_size, pool.limit - first) // prompts, 2) * prompts
        return cls(pool, first, step)

    @property
    def rounds(self) -> int:
        """As many as fill the pool to its limit; one at least."""
        return max((self.pool.limit - self.first) // self.step, 1)


def next_pairs(
    state: Arrays, plan: PairsPlan, scales: np.ndarray, upper: float
) -> Generator[Stage, Output, Arrays]:
    """The state with a round's pairs, a stratum of their own.

    Parameters
    ----------
    scales : (C, K) s of each prompt; upper : as for `GuidePairs`.
    """
    if not is_guided(state):
        state = yield from _begun(state, plan, scales)
    state = {**state, "guided_scales": np.concatenate([state["guided_scales"], scales[None]])}
    have = size_of(state)
    slices = plan.pool.of_samples(state, have, have + plan.step)
    drawn = yield Stage(tuple(GuidePairs(of_last_stratum(state, s), upper) for s in slices))
    return grown_on_last_stratum(state, drawn)


def _begun(state: Arrays, plan: PairsPlan, scales: np.ndarray) -> Generator[Stage, Output, Arrays]:
    """The state with paths of p0, and full strength at every step, as in the paper."""
    slices = plan.pool.of_samples(state, 0, plan.first)
    none = (0.0,) * scales.shape[1]
    shards = (GuidePaths(s.seeds, (none,) * len(s.seeds), None, s.prompts) for s in slices)
    drawn = yield Stage(tuple(shards))
    rows, levels = dict(drawn.rows), drawn.rows["alphas_cumprod"][0]
    u, v = (rows.pop(name).sum(1) for name in ("u", "v"))
    del rows["alphas_cumprod"]
    state = state | begin(levels, np.ones(len(levels)), *scales.shape)
    lost = drawn.sums["without_gradient"]  # of the upper reward's gradient none was asked for
    sums = {**drawn.sums, "without_gradient": np.pad(lost, ((0, 0), (0, 1)))}
    return grown_on_last_stratum(state, Output(sums, rows | rows_of(u, v)))
