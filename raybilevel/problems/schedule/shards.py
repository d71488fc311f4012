"""Which shards the schedule problem runs: the same noises for whatever is compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raybilevel.problems.base import Arrays, PlacedShard, Stage
from raybilevel.problems.seeds import sample_seeds

_SLICE = 1024  # real images a shard
_FEWEST_CHUNKS = 8
_COMPARED_CHUNKS = 4  # subjects are many: they spread the work by themselves
_RUNGS = (0.25, 0.25, 0.5, 1, 4)  # evaluations that a look adds: four at the start, one at the end
_FEWEST_SEEN = 2  # chunks, for a jackknife
_LOOKS = 1 << 19  # chunks from here on are for looks
_LAST_WORDS = 1 << 20  # chunks from here on are for the comparison at the end alone


@dataclass(frozen=True)
class Plan:
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
    def of(cls, samples: int, shard_size: int | None, compared: int) -> Plan:
        """With shards of at least an eighth of an evaluation where no size is given."""
        chunks = max(1, min(_FEWEST_CHUNKS, samples // 2))
        return cls(samples, shard_size or math.ceil(samples / chunks), compared)

    @property
    def chunks(self) -> int:
        """Shards of one evaluation."""
        return math.ceil(self.samples / self.shard_size)

    def real(self, round_: int, number: int, fold: int, count: int) -> Stage:
        """Real images of a fold, cut into slices."""
        starts = range(0, count, _SLICE)
        args = [{"fold": fold, "first": a, "until": min(a + _SLICE, count)} for a in starts]
        kind = ("reference", "held_out")[fold]
        return Stage(tuple(PlacedShard(round_, number, i, kind, a) for i, a in enumerate(args)))

    def evaluate(
        self,
        round_: int,
        number: int,
        state: Arrays,
        points: Sequence[np.ndarray],
        noises: int | None = None,
    ) -> Stage:
        """Every list of levels on the round's noises, which no other round has, or on `noises`'.

        The same noises for all points of a round, so that what they have in common cancels in
        differences; new ones in each, so that the levels are not fitted to any of them.
        """
        set_ = round_ if noises is None else noises
        chunks = self._chunks(state, self.samples, self.shard_size, set_ * self.chunks)
        return _on(round_, number, points, chunks)

    def look(
        self, rung: int, round_: int, number: int, state: Arrays, points: Sequence[np.ndarray]
    ) -> Stage:
        """Lists of levels to choose from, on samples that no other look has."""
        first = _LOOKS + sum(self.rungs[:rung])
        samples = self.rungs[rung] * self.shard_size
        chunks = self._chunks(state, samples, self.shard_size, first)
        return _on(round_, number, points, chunks)

    @property
    def rungs(self) -> list[int]:
        """Chunks that each rung adds."""
        first, *more = (round(share * self.chunks) for share in _RUNGS)
        return [max(first, _FEWEST_SEEN), *(max(count, 1) for count in more)]

    def compare(
        self, round_: int, number: int, state: Arrays, subjects: Sequence[dict[str, object]]
    ) -> Stage:
        """Every subject on fresh noises."""
        size = max(self.shard_size, math.ceil(self.compared / _COMPARED_CHUNKS))
        chunks = self._chunks(state, self.compared, size, _LAST_WORDS)
        shards = [
            {**s, **c, "show": i == 0, "batch": self.shard_size}
            for s in subjects
            for i, c in enumerate(chunks)
        ]
        return Stage(
            tuple(PlacedShard(round_, number, i, "compare", a) for i, a in enumerate(shards))
        )

    def _chunks(self, state: Arrays, samples: int, size: int, first: int) -> list[dict[str, int]]:
        """Seeds and counts of as few chunks of at most `size` as there can be, about equal."""
        chunks = math.ceil(samples / size)
        seeds = sample_seeds(state["seed_base"], first, first + chunks)
        each, more = divmod(samples, chunks)
        return [{"seed": seed, "count": each + (i < more)} for i, seed in enumerate(seeds)]


def _on(
    round_: int, number: int, points: Sequence[np.ndarray], chunks: Sequence[dict[str, int]]
) -> Stage:
    """Every point on every chunk of noises, point by point."""
    shards = [{"levels": p.tolist(), **chunk} for p in points for chunk in chunks]
    return Stage(tuple(PlacedShard(round_, number, i, "sample", a) for i, a in enumerate(shards)))
