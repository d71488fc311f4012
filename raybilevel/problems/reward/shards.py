"""What workers do for the reward problem."""

from __future__ import annotations

from dataclasses import dataclass

from raybilevel.problems.base import Shard


@dataclass(frozen=True)
class DrawRewards(Shard):
    """Draws the samples of `seeds`, and returns their rewards as rows of the pool.

    Attributes
    ----------
    prompts : the place of each sample's prompt in the problem's list; None without prompts.
    """

    seeds: tuple[int, ...]
    prompts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class DrawSamples(Shard):
    """Draws the samples of `seeds`, and returns them.

    Attributes
    ----------
    prompts : as for `DrawRewards`.
    """

    seeds: tuple[int, ...]
    prompts: tuple[int, ...] | None = None
