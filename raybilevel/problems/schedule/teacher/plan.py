"""Which noises are drawn, and how they are cut into shards: whatever is compared has the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from raybilevel.problems.base import Arrays, Stage
from raybilevel.problems.schedule.teacher.shards import (
    Compared,
    DrawnLists,
    DrawnPairs,
    Draws,
    Pair,
    Show,
    Teach,
    Through,
)
from raybilevel.problems.seeds import sample_seeds

FEWEST_CHUNKS = 2
_COMPARISON = 1 << 20  # noises from here on are for the comparison at the end
_SHOWN = 8
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class Noises:
    """What is drawn from, and what is known of it.

    Attributes
    ----------
    seed_base, count : the first so many of the run's noises.
    broadcast : what workers are told besides.
    """

    seed_base: np.ndarray
    count: int
    broadcast: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class PairPlan:
    """How noises are cut into shards.

    Attributes
    ----------
    shard_size : noises a shard.
    shares : how much each prompt counts, summing to one, and so how often it is drawn; None where
        there are no prompts.
    """

    shard_size: int
    shares: tuple[float, ...] | None

    def teach(self, seed_base: np.ndarray, first: int, until: int) -> Stage:
        """The teacher's samples of the noises from `first` to `until`."""
        return Stage(tuple(Teach(d) for d in self._cut(seed_base, first, until)))

    def differences(
        self,
        kind: type[DrawnPairs],
        noises: Noises,
        pairs: Sequence[Sequence[Pair]],
        delta: float,
        shards: int | None = None,
    ) -> Stage:
        """What pairs (lists, d) of levels say of all noises, in so many shards."""
        cut, known = self._parts(noises, shards), tuple(map(tuple, pairs))
        return Stage(tuple(kind(d, known, delta) for d in cut), noises.broadcast)

    def values(
        self,
        kind: type[DrawnLists],
        noises: Noises,
        lists: Sequence[Through],
        shards: int | None = None,
    ) -> Stage:
        """What every list, or stock sampler, makes of the same noises, in so many shards."""
        cut = self._parts(noises, shards)
        return Stage(tuple(kind(d, tuple(lists)) for d in cut), noises.broadcast)

    def compare(
        self,
        seed_base: np.ndarray,
        samples: int,
        subjects: Sequence[Through],
        *,
        judged: bool = False,
    ) -> Stage:
        """Every subject on noises that nothing else has, with a teacher of their own."""
        cut = self._cut(seed_base, _COMPARISON, _COMPARISON + samples)
        return Stage(tuple(Compared(d, tuple(subjects), judged) for d in cut))

    def show(self, seed_base: np.ndarray, samples: int, subjects: Sequence[Through]) -> Stage:
        """Images of the comparison's first noises."""
        until = _COMPARISON + min(_SHOWN, samples)
        draws = self._draws(seed_base, _COMPARISON, until)
        return Stage(tuple(Show(draws, subject) for subject in subjects))

    def _parts(self, noises: Noises, shards: int | None) -> list[Draws]:
        if shards is None:
            return self._cut(noises.seed_base, 0, noises.count)
        spans = np.array_split(np.arange(noises.count), shards)
        return [self._draws(noises.seed_base, int(s[0]), int(s[-1]) + 1) for s in spans]

    def _cut(self, seed_base: np.ndarray, first: int, until: int) -> list[Draws]:
        size = self.shard_size
        ends = range(first, until, size)
        return [self._draws(seed_base, i, min(i + size, until)) for i in ends]

    def _draws(self, seed_base: np.ndarray, first: int, until: int) -> Draws:
        seeds = tuple(sample_seeds(seed_base, first, until))
        if self.shares is None:
            return Draws(first, seeds, None)
        place = np.arange(first, until) * _GOLDEN % 1  # any stretch of them is even
        prompts = np.searchsorted(np.cumsum(self.shares)[:-1], place, side="right")
        return Draws(first, seeds, tuple(prompts.tolist()))
