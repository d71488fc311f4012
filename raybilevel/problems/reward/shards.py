"""What workers do for the reward problem."""

from __future__ import annotations

from dataclasses import dataclass

from raybilevel.problems.base import Shard


@dataclass(frozen=True)
class DrawRewards(Shard):
    """Draws the samples of `seeds`, and returns their rewards as rows of the pool."""

    seeds: tuple[int, ...]


@dataclass(frozen=True)
class DrawSamples(Shard):
    """Draws the samples of `seeds`, and returns them."""

    seeds: tuple[int, ...]
