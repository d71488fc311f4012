"""The ways: what each draws, what of it is delivered, and how far that is from p0."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raybilevel.problems.base import Arrays, Shard
from raybilevel.problems.reward.drawing.paths import rows_read
from raybilevel.problems.reward.shards import DrawRewards, GuidePaths, SteerParticles
from raybilevel.upper.guidance.paths import path_kls
from raybilevel.upper.guidance.unweighted import mean_within
from raybilevel.upper.prompts import Prompts


@dataclass(frozen=True, eq=False)
class Drawing:
    """What is drawn: `each` samples for every image that is delivered, image by image.

    Attributes
    ----------
    seeds : (images * each,).
    prompts : (images * each,) places in the problem's list; None without prompts.
    scales : (images * each, K) s = w / lambda of each sample.
    each : samples an image.
    shares : (P,) of the prompts, which have as many images each, one after the other.
    shard_size : samples a shard, about.
    """

    seeds: np.ndarray
    prompts: np.ndarray | None
    scales: np.ndarray
    each: int
    shares: np.ndarray
    shard_size: int

    @property
    def images(self) -> Prompts:
        """Which prompt each image is of."""
        count = len(self.seeds) // self.each
        of = np.repeat(np.arange(len(self.shares)), count // len(self.shares))
        return Prompts(of, self.shares)

    @property
    def parts(self) -> list[slice]:
        """Shards of whole images."""
        size = max(self.shard_size // self.each, 1) * self.each
        return [slice(start, start + size) for start in range(0, len(self.seeds), size)]

    def seeds_of(self, part: slice) -> tuple[int, ...]:
        """Of a shard."""
        return tuple(self.seeds[part].tolist())

    def prompts_of(self, part: slice) -> tuple[int, ...] | None:
        """Of a shard."""
        return None if self.prompts is None else tuple(self.prompts[part].tolist())

    def scales_of(self, part: slice) -> tuple[tuple[float, ...], ...]:
        """Of a shard."""
        return tuple(map(tuple, self.scales[part].tolist()))


class Rival(ABC):
    """One way to draw by a reward.

    Attributes
    ----------
    name : in `compare.rivals`.
    guides : whether it needs a pipeline whose steps can be guided; differentiates, whether it needs
        rewards that have a gradient.
    kl_is : what `kl` is.
    """

    name: ClassVar[str]
    guides: ClassVar[bool] = True
    differentiates: ClassVar[bool] = False
    kl_is: ClassVar[str]

    def each(self, affordable: int, at_once: int) -> int:
        """Samples an image, where so many could be paid for, and a worker draws so many at once."""
        return affordable

    @abstractmethod
    def shards(self, drawing: Drawing) -> Sequence[Shard]:
        """What draws them."""

    def delivered(self, rows: Arrays, drawing: Drawing) -> np.ndarray:
        """Which rows are the images (images,)."""
        return np.arange(len(drawing.seeds) // drawing.each)

    @abstractmethod
    def kl(self, rows: Arrays, drawing: Drawing) -> float:
        """KL(what is delivered || p0) in nats, or a bound; nan where nobody knows."""


class BestOfN(Rival):
    """Of each n samples of p0 the one whose lower reward is highest."""

    name = "best_of_n"
    guides = False
    kl_is = "upper bound, log n - (n - 1) / n"

    def shards(self, drawing: Drawing) -> Sequence[Shard]:
        """Samples of p0."""
        return [DrawRewards(drawing.seeds_of(p), drawing.prompts_of(p)) for p in drawing.parts]

    def delivered(self, rows: Arrays, drawing: Drawing) -> np.ndarray:
        """The best of each n."""
        tilts = np.sum(_lower(rows) * drawing.scales, axis=1).reshape(-1, drawing.each)
        return np.arange(len(tilts)) * drawing.each + tilts.argmax(1)

    def kl(self, rows: Arrays, drawing: Drawing) -> float:
        """At most this (Beirami et al. 2024, arXiv 2401.01879)."""
        return math.log(drawing.each) - (drawing.each - 1) / drawing.each


class Guidance(Rival):
    """Guidance alone, at full strength, as in the paper: 1 + 2 K evaluations a step."""

    name = "guidance"
    differentiates = True
    kl_is = "upper bound, of the paths"

    def each(self, affordable: int, at_once: int) -> int:
        """One: more would make none better."""
        return 1

    def shards(self, drawing: Drawing) -> Sequence[Shard]:
        """Guided paths."""
        return [
            GuidePaths(drawing.seeds_of(p), drawing.scales_of(p), 1.0, drawing.prompts_of(p))
            for p in drawing.parts
        ]

    def kl(self, rows: Arrays, drawing: Drawing) -> float:
        """E[s.v.s] / 2."""
        v = rows_read(rows, drawing.scales.shape[1])[1]
        return mean_within(drawing.images, path_kls(drawing.scales, v))


class FkSteering(Rival):
    """Particles resampled on their way by what they promise, one of each n delivered."""

    name = "fk_steering"
    kl_is = "unknown"

    def each(self, affordable: int, at_once: int) -> int:
        """As many as are drawn at once, at most: a group is never parted."""
        return min(affordable, at_once)

    def shards(self, drawing: Drawing) -> Sequence[Shard]:
        """Groups of particles."""
        return [
            SteerParticles(
                drawing.seeds_of(p), drawing.each, drawing.scales_of(p), drawing.prompts_of(p)
            )
            for p in drawing.parts
        ]

    def kl(self, rows: Arrays, drawing: Drawing) -> float:
        """Nobody knows."""
        return math.nan


RIVALS: dict[str, Rival] = {r.name: r for r in (BestOfN(), Guidance(), FkSteering())}


def _lower(rows: Arrays) -> np.ndarray:
    return np.column_stack([rows[c] for c in rows if c.startswith("pool/lower.")])
