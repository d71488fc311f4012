"""The reward problem's pool: which seeds it holds, how it grows, how p_x is drawn from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raybilevel.problems.base import Arrays, Stage
from raybilevel.problems.reward.shards import DrawRewards, DrawSamples
from raybilevel.problems.seeds import sample_seeds

_SHOWN = 32  # samples of p0 and of p_x in the run directory


@dataclass(frozen=True)
class PoolPlan:
    """How a pool is drawn: by rounds, in shards.

    Attributes
    ----------
    size, limit : samples to begin with, and at most.
    round_size, shard_size : samples a round, in whole shards, and samples a shard.
    """

    size: int
    limit: int
    round_size: int
    shard_size: int

    @classmethod
    def of(cls, size: int, limit: int, round_size: int, shard_size: int) -> PoolPlan:
        """With as many samples a round as fill whole shards, `round_size` at least."""
        return cls(size, limit, math.ceil(round_size / shard_size) * shard_size, shard_size)

    def draw(self, state: Arrays) -> Stage:
        """The next slice of the pool; a stage of no shards once it has reached its limit."""
        have = len(state["pool/seed"])
        seeds = sample_seeds(state["seed_base"], have, self._next(have))
        return self._over(seeds, DrawRewards)

    def _next(self, have: int) -> int:
        """The pool's size after a round: even slices up to `size`, then half as much again."""
        if have < self.size:
            return min(have + self.round_size, self.size)
        more = max(self.round_size, have // 2 // self.shard_size * self.shard_size)
        return min(have + more, self.limit)

    def show(self, state: Arrays, weights: np.ndarray) -> Stage:
        """As many samples of p0, and after them of p_x, whose weights (n,) are given."""
        seeds = state["pool/seed"]
        count = min(_SHOWN, len(seeds))
        after = resample(seeds, weights, count, np.random.default_rng(int(state["seed_base"])))
        return self._over([*seeds[:count].tolist(), *after.tolist()], DrawSamples)

    def rounds(self, have: int) -> int:
        """Rounds to `size`, or to the limit once the pool is beyond it."""
        until = self.limit if have >= self.size else self.size
        count = drawn = 0
        while drawn < until:
            drawn, count = self._next(drawn), count + 1
        return count

    def _over(self, seeds: Sequence[int], kind: type[DrawRewards] | type[DrawSamples]) -> Stage:
        size = self.shard_size
        starts = range(0, len(seeds), size)
        return Stage(tuple(kind(tuple(seeds[a : a + size])) for a in starts))


def grown(state: Arrays, rows: Arrays) -> Arrays:
    """The state with drawn rows at the end of its pool; the old one stays as it was."""
    new = {name: np.concatenate([state[name], drawn]) for name, drawn in rows.items()}
    return {**state, **new}


def resample(
    seeds: np.ndarray, weights: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """`count` of the pool's seeds, drawn from p_x.

    Systematic resampling (Douc & Cappe 2005, arXiv cs/0507025, section 2.4): unbiased, and with
    less noise than independent draws. Shuffled, so that any part is a sample too.

    Parameters
    ----------
    seeds : (n,)
    weights : (n,), summing to one.
    """
    positions = (np.arange(count) + rng.random()) / count
    chosen = np.searchsorted(np.cumsum(weights), positions, side="right")
    return rng.permutation(seeds[np.minimum(chosen, len(seeds) - 1)])
