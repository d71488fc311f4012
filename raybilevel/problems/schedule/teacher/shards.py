"""The kinds of shards of a schedule that is found by a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raybilevel.problems.base import Shard

Sigmas = tuple[float, ...]
"""Noise levels that are visited, falling, without the clean image's 0."""

Pair = tuple[Sigmas, Sigmas]
"""Levels up and down along a variable."""


@dataclass(frozen=True)
class Draws:
    """Noises, and what is drawn from each.

    Attributes
    ----------
    first : the place of the first among the run's noises.
    seeds : one each.
    prompts : the place of each one's prompt in the list of prompts; None without prompts.
    """

    first: int
    seeds: tuple[int, ...]
    prompts: tuple[int, ...] | None


@dataclass(frozen=True)
class Through:
    """What samples are drawn through: a list of levels, or a stock sampler.

    Attributes
    ----------
    name : what it is called beside others.
    sigmas : visited; None for a stock sampler.
    exact : whether they are visited as they are where a stock call would round them.
    scheduler : {class, options} of the sampler; None for the model's own.
    steps : of the sampler; 0 of a list.
    """

    name: str = ""
    sigmas: Sigmas | None = None
    exact: bool = False
    scheduler: Mapping[str, Any] | None = None
    steps: int = 0


@dataclass(frozen=True)
class Survey(Shard):
    """What calls visit (rows): `visited` (n, steps) of the schedulers {class, options}.

    And `mu`, nan where the pipeline gives its scheduler none; and `rival_steps` (m,) of `rivals`,
    with which a call costs at most so many `evaluations`, 0 for those that it cannot have.
    """

    schedulers: tuple[Mapping[str, Any], ...]
    steps: int
    rivals: tuple[Mapping[str, Any], ...]
    evaluations: int


@dataclass(frozen=True)
class Teach(Shard):
    """Samples by the teacher (rows): `taught` (n, D) float32."""

    draws: Draws


@dataclass(frozen=True)
class DrawnPairs(Shard):
    """What central differences say of the noises.

    Attributes
    ----------
    pairs : (lists, d) of levels, up and down along each variable.
    delta : half the distance of a pair.
    """

    draws: Draws
    pairs: tuple[tuple[Pair, ...], ...]
    delta: float


@dataclass(frozen=True)
class DrawnLists(Shard):
    """What is said of each noise by each list."""

    draws: Draws
    lists: tuple[Through, ...]


class Differences(DrawnPairs):
    """Sums over noises of J'J, J'r and r'r by central differences (one row).

    Of each number of steps: `slopes` (1, lists, d), `curvatures` (1, lists, d, d), `squares`
    (1, lists), r between the two of a pair.
    """


class Distances(DrawnLists):
    """Squared distances to the teacher (rows): `squares` (n, lists)."""


class RewardDifferences(DrawnPairs):
    """Slopes of the reward, and J'J of images, by central differences (one row).

    `slopes` (1, d) are half the sums over noises of the reward's, as J'r is half of r'r's, mean
    over numbers of steps; `curvatures` (1, d, d).
    """


class RewardValues(DrawnLists):
    """The reward of samples by each list (rows): `rewards` (n, lists)."""


class FeatureDifferences(DrawnPairs):
    """Features of samples up and down along each variable, and J'J of images (rows).

    `features` (n, 2 moving, F) of the pairs that differ, one number of steps after the other;
    `curvatures` (1, d, d), summed over numbers of steps.
    """


class Features(DrawnLists):
    """Features of samples by each list (rows): `features` (n, lists, F)."""


@dataclass(frozen=True)
class Compared(Shard):
    """Distances to the teacher's samples of these noises, drawn here; and evaluations (rows).

    `nfe` (1, subjects) is what a sample of each costs. Where images are judged, distances are those
    of images, and there are `rewards` (n, subjects) too, or features of both extractors
    (n, subjects, F); nan of a subject that overflows.
    """

    draws: Draws
    subjects: tuple[Through, ...]
    judged: bool = False


@dataclass(frozen=True)
class Show(Shard):
    """Images (rows): `shown` (1, n, C, H, W) uint8."""

    draws: Draws
    subject: Through


@dataclass(frozen=True)
class Visit(Shard):
    """Nothing, if a call that is given the list visits these sigmas; else the run ends."""

    sigmas: Sigmas
