"""The kinds of shards that the schedule problems run."""

from __future__ import annotations

from dataclasses import dataclass

from raybilevel.problems.base import Shard

Levels = tuple[float, ...]
"""Log-SNR that a sample visits, rising."""


@dataclass(frozen=True)
class Noise:
    """`count` images of noise, all drawn from one generator of `seed`."""

    seed: int
    count: int


@dataclass(frozen=True)
class Sample(Shard):
    """What the objective needs of a chunk of samples, drawn at `levels` (one row)."""

    levels: Levels
    noise: Noise


@dataclass(frozen=True)
class Subject:
    """What the comparison draws samples with: levels, or a stock scheduler.

    Attributes
    ----------
    name : of the row in the comparison's table.
    steps : sampling steps.
    levels : that are visited; None for the stock scheduler of that name.
    """

    name: str
    steps: int
    levels: Levels | None = None


@dataclass(frozen=True)
class Compare(Shard):
    """Features of a subject's samples by both extractors, and its first images (rows).

    Attributes
    ----------
    batch : samples that are drawn at once.
    shown : whether the first images are returned.
    """

    subject: Subject
    noise: Noise
    batch: int
    shown: bool


@dataclass(frozen=True)
class Train(Shard):
    """`count` AdamW steps from what is broadcast, the run's steps from `first` on.

    Sums are the weights and AdamW's moments, rows the losses. Draws come from the shard's key.
    """

    first: int
    count: int


@dataclass(frozen=True)
class TrainPair(Shard):
    """The same steps twice: y as `Train` makes them, z with the objective over `gamma` added.

    Adds z's weights to the sums, and to the rows dg/dq at y and at z. The objective is that of
    samples drawn at `levels`.
    """

    first: int
    count: int
    levels: Levels
    gamma: float
