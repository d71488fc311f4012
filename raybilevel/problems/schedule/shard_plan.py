"""How samples are cut into shards: the same noises for whatever is compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raybilevel.problems.base import Arrays, Stage
from raybilevel.problems.schedule.shards import (
    Compare,
    Noise,
    Sample,
    Subject,
)
from raybilevel.problems.seeds import sample_seeds

_FEWEST_CHUNKS = 8
_COMPARED_CHUNKS = 4  # subjects are many: they spread the work by themselves
_RUNGS = (0.25, 0.25, 0.5, 1, 4)  # evaluations that a look adds: four at the start, one at the end
_FEWEST_SEEN = 2  # chunks, for a jackknife
_LOOKS = 1 << 19  # chunks from here on are for looks
_COMPARISON = 1 << 20  # chunks from here on are for the comparison at the end


@dataclass(frozen=True)
class ShardPlan:
    """How samples are cut into shards.

    Attributes
    ----------
    samples : of an evaluation.
    shard_size : samples a shard; the jackknife leaves out one shard's worth at a time.
    compared : samples of the comparison at the end.
    """

    samples: int
    shard_size: int
    compared: int

    @classmethod
    def of(cls, samples: int, shard_size: int | None, compared: int) -> ShardPlan:
        """With shards of at least an eighth of an evaluation where no size is given."""
        chunks = max(1, min(_FEWEST_CHUNKS, samples // 2))
        return cls(samples, shard_size or math.ceil(samples / chunks), compared)

    @property
    def chunks(self) -> int:
        """Shards of one evaluation."""
        return math.ceil(self.samples / self.shard_size)

    def evaluate(
        self, seed_base: np.ndarray, noises: int, points: Sequence[np.ndarray], weights: Arrays
    ) -> Stage:
        """Every list of levels on the set of noises numbered `noises`, usually the round's number.

        The same noises for all points of a round, so that what they have in common cancels in
        differences; new ones in each, so that the levels are not fitted to any of them.
        """
        first = noises * self.chunks
        chunks = _chunks(seed_base, self.samples, self.shard_size, first)
        return _samples(points, chunks, weights)

    def look(
        self, seed_base: np.ndarray, rung: int, points: Sequence[np.ndarray], weights: Arrays
    ) -> Stage:
        """Lists of levels to choose from, on samples that no other look has."""
        first = _LOOKS + sum(self.rungs[:rung])
        samples = self.rungs[rung] * self.shard_size
        return _samples(points, _chunks(seed_base, samples, self.shard_size, first), weights)

    @property
    def rungs(self) -> list[int]:
        """Chunks that each rung adds."""
        first, *more = (round(share * self.chunks) for share in _RUNGS)
        return [max(first, _FEWEST_SEEN), *(max(count, 1) for count in more)]

    def compare(self, seed_base: np.ndarray, subjects: Sequence[Subject], weights: Arrays) -> Stage:
        """Every subject on noises that nothing else has."""
        size = max(self.shard_size, math.ceil(self.compared / _COMPARED_CHUNKS))
        chunks = _chunks(seed_base, self.compared, size, _COMPARISON)
        shards = [
            Compare(subject, noise, self.shard_size, shown=i == 0)
            for subject in subjects
            for i, noise in enumerate(chunks)
        ]
        return Stage(tuple(shards), weights)


def _chunks(seed_base: np.ndarray, samples: int, size: int, first: int) -> list[Noise]:
    """As few chunks of at most `size` as there can be, about equal; the first is number `first`."""
    chunks = math.ceil(samples / size)
    seeds = sample_seeds(seed_base, first, first + chunks)
    each, more = divmod(samples, chunks)
    return [Noise(seed, each + (i < more)) for i, seed in enumerate(seeds)]


def _samples(points: Sequence[np.ndarray], chunks: Sequence[Noise], weights: Arrays) -> Stage:
    """Every point on every chunk of noises, point by point."""
    shards = [Sample(tuple(levels.tolist()), noise) for levels in points for noise in chunks]
    return Stage(tuple(shards), weights)
