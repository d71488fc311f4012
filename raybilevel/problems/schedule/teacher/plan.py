"""Which noises are drawn, and how they are cut into shards: whatever is compared has the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raybilevel.problems.base import Arrays, Stage
from raybilevel.problems.schedule.teacher.shards import (
    Compared,
    Differences,
    Distances,
    Draws,
    RewardDifferences,
    RewardValues,
    Show,
    Sigmas,
    Teach,
    Through,
)
from raybilevel.problems.seeds import sample_seeds

FEWEST_CHUNKS = 2
_COMPARISON = 1 << 20  # noises from here on are for the comparison at the end
_SHOWN = 8
_GOLDEN = (5**0.5 - 1) / 2


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
        self, state: Arrays, pairs: Sequence[Sequence[tuple[Sigmas, Sigmas]]], delta: float
    ) -> Stage:
        """Slopes of all noises that the state's teacher has been asked for, of pairs (lists, d)."""
        taught = state["taught"]
        cut = self._cut(state["seed_base"], 0, len(taught))
        known = tuple(map(tuple, pairs))
        shards = tuple(Differences(d, known, delta) for d in cut)
        return Stage(shards, {"taught": taught})

    def distances(self, state: Arrays, lists: Sequence[Through]) -> Stage:
        """Every list, or stock sampler, on the same noises."""
        taught = state["taught"]
        cut = self._cut(state["seed_base"], 0, len(taught))
        return Stage(tuple(Distances(d, tuple(lists)) for d in cut), {"taught": taught})

    def reward_differences(
        self,
        seed_base: np.ndarray,
        noises: int,
        pairs: Sequence[Sequence[tuple[Sigmas, Sigmas]]],
        delta: float,
    ) -> Stage:
        """The reward's slopes on so many noises."""
        cut, known = self._cut(seed_base, 0, noises), tuple(map(tuple, pairs))
        return Stage(tuple(RewardDifferences(d, known, delta) for d in cut))

    def rewards(self, seed_base: np.ndarray, noises: int, lists: Sequence[Through]) -> Stage:
        """Every list on the same noises."""
        cut = self._cut(seed_base, 0, noises)
        return Stage(tuple(RewardValues(d, tuple(lists)) for d in cut))

    def compare(
        self,
        seed_base: np.ndarray,
        samples: int,
        subjects: Sequence[Through],
        *,
        rewarded: bool = False,
    ) -> Stage:
        """Every subject on noises that nothing else has, with a teacher of their own."""
        cut = self._cut(seed_base, _COMPARISON, _COMPARISON + samples)
        return Stage(tuple(Compared(d, tuple(subjects), rewarded) for d in cut))

    def show(self, seed_base: np.ndarray, samples: int, subjects: Sequence[Through]) -> Stage:
        """Images of the comparison's first noises."""
        until = _COMPARISON + min(_SHOWN, samples)
        draws = self._draws(seed_base, _COMPARISON, until)
        return Stage(tuple(Show(draws, subject) for subject in subjects))

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
