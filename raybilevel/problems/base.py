"""The contract between a problem (math, models) and the runtime (Ray, storage).

A run is a chain of rounds. In each, the driver asks `Problem.stage` what to do: it answers with a
`Stage` of shards, is asked again with their reduced outputs, and so on until it answers with an
`Update`, which ends the round. A plan depends on configuration, seed and reduced results alone, so
the answer is the same to the bit whoever ran the shards, and how often.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from raybilevel.errors import InputError
from raybilevel.upper.variables import Variable

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, np.ndarray]
"""All that crosses processes, and all that is checkpointed.

In a state, a key "table/column" is a column of an append-only table: rows are only ever added, and
a checkpoint writes the new ones alone, to `<table>/part-*.parquet`.
"""


@dataclass(frozen=True)
class Shard:
    """A small, pure description of work; `args` is JSON-able."""

    round: int
    stage: int
    index: int
    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)

    def key(self, seed: int) -> int:
        """The only source of randomness of the shard: 64 bits from the run's seed and its place."""
        words = np.random.SeedSequence([seed, self.round, self.stage, self.index])
        return int(words.generate_state(1, np.uint64)[0])

    def __str__(self) -> str:
        return f"shard {self.index} of round {self.round}, stage {self.stage} ({self.kind})"


@dataclass(frozen=True)
class Output:
    """What a shard returns, and what a stage is reduced to.

    `sums` are added over a fixed binary tree of indices, `rows` are concatenated by index, `nfe`
    counts network evaluations.
    """

    sums: Arrays = field(default_factory=dict)
    rows: Arrays = field(default_factory=dict)
    nfe: int = 0


@dataclass(frozen=True)
class Stage:
    """A batch of shards that may all run at once, and what all of them read."""

    shards: tuple[Shard, ...]
    broadcast: Arrays = field(default_factory=dict)


class Status(StrEnum):
    """How a run ended."""

    CONVERGED = "converged"
    AT_BOUND = "at_bound"
    BUDGET = "budget"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Stop:
    """Why a run ends: `reason` says what it means and what to do."""

    status: Status
    reason: str


EVALUATED = Stop(Status.CONVERGED, "evaluated as asked for")
"""The end of a trial."""


@dataclass(frozen=True)
class Update:
    """The end of a round.

    Attributes
    ----------
    state : the driver's whole state from here on.
    metrics : the round's row of the history; `config/<variable>` and `upper_loss` at least.
    stop : set where the run is done.
    """

    state: Arrays
    metrics: dict[str, float]
    stop: Stop | None = None


@dataclass(frozen=True)
class Cost:
    """NFE of a trial: of all of it, and of its dearest part between two results."""

    whole: int
    unit: int


class Worker(Protocol):
    """One process's model, data and metric, ready to run shards."""

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Run one shard: pure, all randomness from `key`; never writes to `broadcast`."""
        ...


class Problem(ABC):
    """What is tuned. Picklable; knows no Ray."""

    #: fields that may differ when a run is resumed, since no earlier round depends on them
    resumable: ClassVar[frozenset[str]] = frozenset()

    @property
    def exact(self) -> bool:
        """Whether the lower level gives the same bits every time, on one kind of machine."""
        return True

    @property
    @abstractmethod
    def variables(self) -> tuple[Variable, ...]:
        """The upper-level variables, in the order of every vector."""

    @abstractmethod
    def check(self) -> None:
        """Raise `InputError` for input that could not work, before any actor starts."""

    @abstractmethod
    def init(self, seed: int) -> Arrays:
        """The state before the first round, `x` (d,) included."""

    @abstractmethod
    def stage(self, round_: int, state: Arrays, done: list[Output]) -> Stage | Update:
        """What to do next in this round: pure; called until it returns an `Update`."""

    @abstractmethod
    def worker(self, device: str) -> Worker:
        """Load model, data and metric, once per process, onto `device` ("cpu" or "cuda")."""

    @abstractmethod
    def trial(self, x: Mapping[str, float]) -> Problem:
        """The same lower level at fixed variables, for baselines: the run says what f is there."""

    def trial_cost(self) -> Cost:
        """What a trial costs, wherever it is; `InputError` if trials are not for comparisons."""
        raise InputError(f"{type(self).__name__} cannot be compared with searches")

    def scoring(self, ends: Sequence[Arrays], samples: int) -> Problem:
        """What scores the ends of runs and trials, states of theirs, on the same fresh samples.

        A run of it ends with `scores` and `scores_se` (n,) in its state: the objective at each of
        the n ends, and its standard error, on `samples` samples that come from the run's seed.
        """
        raise InputError(f"{type(self).__name__} cannot be compared with searches")

    def lean(self) -> Problem:
        """The same without what its runs do for the report alone."""
        return self

    def admissible(self, x: Mapping[str, float]) -> dict[str, float]:
        """The variables that a point of the box stands for, where not all of the box may be."""
        return dict(x)

    @abstractmethod
    def export(self, state: Arrays, directory: Path) -> None:
        """Write what the user takes away, at the end of a run, to a local directory."""

    def samples(self, state: Arrays, n: int, seed: int, device: str) -> Tensor:
        """`n` samples (n, ...) of the lower level at a state's x; `InputError` if it has none."""
        raise InputError(f"{type(self).__name__} has no samples to draw")

    def remarks(self) -> list[str]:
        """Sentences that a user should read before the run, and need not act on."""
        return []

    def planned_rounds(self, state: Arrays) -> int | None:
        """How many rounds the run will have as far as can be told, for the time left."""
        return None
