"""Pilots: a few guided paths that are in no pool, of a few prompts where there are many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.problems.base import Arrays, Stage
from raybilevel.problems.prompts.prompt_list import prompt_places
from raybilevel.problems.reward.drawing.paths import shard_of
from raybilevel.problems.reward.pool_plan import PoolPlan
from raybilevel.problems.reward.shards import GuidePaths
from raybilevel.problems.seeds import sample_seeds
from raybilevel.upper.prompts import Prompts

APART = 2**31
"""Where seeds of pilots begin: no pool comes so far."""

_EACH = 32  # paths of a prompt, at least: a few never disagree much about their weights


@dataclass(frozen=True, eq=False)
class Pilot:
    """Guided paths of some prompts, each with as many.

    Attributes
    ----------
    of : which of `chosen` each path (n,) is of.
    chosen : which of all prompts.
    seeds : (n,)
    places : (n,) of their prompts in the problem's list; None without prompts.
    shard_size : paths a shard.
    """

    of: Prompts
    chosen: np.ndarray
    seeds: np.ndarray
    places: np.ndarray | None
    shard_size: int

    @classmethod
    def begin(
        cls, state: Arrays, plan: PoolPlan, shares: np.ndarray, first: int, count: int
    ) -> Pilot:
        """Of about so many paths.

        Parameters
        ----------
        shares : (C,) what each prompt counts.
        first : of the seeds of pilots.
        """
        prompts = min(len(shares), max(count // _EACH, 1))
        chosen = np.linspace(0, len(shares) - 1, prompts).round().astype(np.int64)
        of = np.repeat(np.arange(prompts), count // prompts)
        share = shares[chosen] / shares[chosen].sum()
        begin = APART + first
        seeds = np.array(sample_seeds(state["seed_base"], begin, begin + len(of)))
        places = None
        if plan.prompts is not None:
            places = prompt_places(state, plan.prompts)[chosen][of]
        return cls(Prompts(of, share), chosen, seeds, places, plan.shard_size)

    def scales(self, scales: np.ndarray) -> np.ndarray:
        """(n, K) of each path, from those (C, K) of all prompts."""
        return np.asarray(scales[self.chosen][self.of.of])

    def shards(self, scales: np.ndarray, taus: tuple[float, ...] | None) -> tuple[GuidePaths, ...]:
        """What draws them, at scales (n, K)."""
        count, size = len(self.seeds), self.shard_size
        rows = np.split(np.arange(count), range(size, count, size))
        places = [None if self.places is None else self.places[p] for p in rows]
        return tuple(
            shard_of(self.seeds[p], scales[p], taus, of) for p, of in zip(rows, places, strict=True)
        )

    def stage(self, scales: np.ndarray, taus: tuple[float, ...] | None) -> Stage:
        """All of it."""
        return Stage(self.shards(scales, taus))
