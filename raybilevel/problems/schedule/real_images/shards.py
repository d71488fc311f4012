"""The kinds of shards that look at real images."""

from __future__ import annotations

from dataclasses import dataclass

from raybilevel.problems.base import Shard, Stage

_SLICE = 1024  # images a shard


@dataclass(frozen=True)
class SomeImages(Shard):
    """Real images from `first` to `until`."""

    first: int
    until: int


class ReferenceImages(SomeImages):
    """Moments of training images (sums), by both extractors."""


class TrainingImages(SomeImages):
    """Features of training images (rows), by both extractors."""


class HeldOutImages(SomeImages):
    """Features of held-out images (rows), by both extractors."""


def slices(kind: type[SomeImages], count: int) -> Stage:
    """The first `count` images."""
    ends = range(0, count, _SLICE)
    return Stage(tuple(kind(first, min(first + _SLICE, count)) for first in ends))
