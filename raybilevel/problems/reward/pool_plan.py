"""The reward problem's pool: which seeds it holds, how it grows, how p_x is drawn from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from raybilevel.problems.base import Arrays, Stage
from raybilevel.problems.prompts.prompt_list import prompt_places
from raybilevel.problems.reward.drawing.island_rows import are_in_islands, shards_of
from raybilevel.problems.reward.drawing.lineages import lineages_of
from raybilevel.problems.reward.drawing.paths import guides_of, is_guided
from raybilevel.problems.reward.shards import DrawRewards, DrawSamples
from raybilevel.problems.seeds import sample_seeds

_UNKNOWN = {"f": np.nan, "i": -1, "b": False}
_EACH = 2  # samples of a prompt that an estimate needs


@dataclass(frozen=True)
class PoolPlan:
    """How a pool is drawn: by rounds, in shards.

    Attributes
    ----------
    size, limit : samples to begin with, and at most.
    round_size, shard_size : samples a round, in whole shards, and samples a shard.
    prompts : how many there are, each with as many samples as the others, after every round; None
        where nothing says what is drawn.
    """

    size: int
    limit: int
    round_size: int
    shard_size: int
    prompts: int | None = None

    remedy: ClassVar[str] = "raise max_pool_size"
    """What makes a pool larger, in the reasons of runs that end for want of samples."""

    @classmethod
    def of(
        cls, size: int, limit: int, round_size: int, shard_size: int, prompts: int | None = None
    ) -> PoolPlan:
        """With as many samples a round as fill whole shards, or all prompts: `round_size` at least.

        With prompts `size` is rounded up, and `limit` down, to as many of each.
        """
        step = prompts or shard_size
        round_size = math.ceil(round_size / step) * step
        if prompts is not None:
            size = math.ceil(size / prompts) * prompts
            limit = max(limit // prompts * prompts, size)
        return cls(size, limit, round_size, shard_size, prompts)

    @property
    def _step(self) -> int:
        return self.prompts or self.shard_size

    def draw(self, state: Arrays) -> Stage:
        """The next slice of the pool; a stage of no shards once it has reached its limit."""
        have = len(state["pool/seed"])
        return Stage(self.of_samples(state, have, self.after(have)))

    def of_samples(self, state: Arrays, first: int, until: int) -> tuple[DrawRewards, ...]:
        """The run's samples `first` to `until` (exclusive), of each prompt as many."""
        seeds = sample_seeds(state["seed_base"], first, until)
        if self.prompts is None:
            return self._over(seeds, None)
        each = len(seeds) // self.prompts  # together, since one prompt may be all of a call
        places = prompt_places(state, self.prompts)
        return self._over(seeds, np.repeat(places, each).tolist())

    def after(self, have: int) -> int:
        """The pool's size after a round: even slices up to `size`, then half as much again.

        The first has two of each prompt: one tells nothing. By no less: where a pool is tried at
        many sizes, one that happens to lack the samples that matter passes the gates at some.
        """
        if have < self.size:
            return min(max(have + self.round_size, _EACH * (self.prompts or 0)), self.size)
        return min(have + max(have // 2 // self._step, 1) * self._step, self.limit)

    def again(self, state: Arrays, *parts: np.ndarray) -> Stage:
        """The samples of rows (m,) of the pool, to be looked at; each part in shards of its own."""
        return Stage(tuple(shard for rows in parts for shard in self.shown(state, rows)))

    def shown(self, state: Arrays, rows: np.ndarray) -> Iterator[DrawSamples]:
        """Shards that draw the samples of rows (m,), in their order."""
        if not are_in_islands(state):
            yield from self._cut(state, rows)
            return
        for part, islands, picked in shards_of(state, rows, self.shard_size):
            if islands is None:
                yield from self._cut(state, part)
            else:
                paths = tuple(picked.tolist())
                yield replace(self._shown(state, part), islands=islands, picked=paths)

    def _cut(self, state: Arrays, rows: np.ndarray) -> Iterator[DrawSamples]:
        for start in range(0, len(rows), self.shard_size):
            yield self._shown(state, rows[start : start + self.shard_size])

    def _shown(self, state: Arrays, rows: np.ndarray) -> DrawSamples:
        prompts = None if self.prompts is None else tuple(state["pool/prompt"][rows].tolist())
        seeds = tuple(state["pool/seed"][rows].tolist())
        lineages = lineages_of(state, rows) if "pool/parent" in state else None
        guided = guides_of(state, rows) if is_guided(state) else None
        return DrawSamples(seeds, prompts, lineages, guided)

    def rounds(self, have: int) -> int:
        """Rounds to `size`, or to the limit once the pool is beyond it.

        A pool that had another limit before may be of a size that is none of this plan's.
        """
        until = self.limit if have >= self.size else self.size
        count = drawn = 0
        while drawn < until:
            then = self.after(drawn)
            drawn, count = have if drawn < have < then else then, count + 1
        return count

    def _over(self, seeds: Sequence[int], prompts: Sequence[int] | None) -> tuple[DrawRewards, ...]:
        parts = [slice(a, a + self.shard_size) for a in range(0, len(seeds), self.shard_size)]
        if prompts is None:
            return tuple(DrawRewards(tuple(seeds[part])) for part in parts)
        return tuple(DrawRewards(tuple(seeds[p]), tuple(prompts[p])) for p in parts)


class TablePlan(PoolPlan):
    """Of a pool that is there from the beginning: nothing is drawn."""

    remedy: ClassVar[str] = "log more samples"

    @classmethod
    def of_table(cls, size: int, prompts: int | None) -> TablePlan:
        """Of so many samples, with as many of each prompt as there happen to be."""
        return cls(size, size, size, size, prompts)

    def draw(self, state: Arrays) -> Stage:
        """Nothing."""
        return Stage(())

    def rounds(self, have: int) -> int:
        """One, that solves."""
        return 1


def size_of(state: Arrays) -> int:
    """Samples in a state's pool."""
    return next(len(rows) for name, rows in state.items() if name.startswith("pool/lower."))


def grown(state: Arrays, rows: Arrays) -> Arrays:
    """The state with drawn rows at the end of its pool; the old one stays as it was.

    What rows of another kind have beside is unknown of these: nan, -1 or False.
    """
    count = len(next(iter(rows.values()), ()))
    pool = {name: a for name, a in state.items() if name.startswith("pool/")}
    unknown = {name: np.full(count, _UNKNOWN[a.dtype.kind], a.dtype) for name, a in pool.items()}
    new = {name: np.concatenate([state[name], drawn]) for name, drawn in (unknown | rows).items()}
    return {**state, **new}


def counted(state: Arrays, sums: Arrays) -> Arrays:
    """What is counted of all of a pool, with what was drawn last."""
    return {name: np.asarray(state.get(name, 0) + new) for name, new in sums.items()}
