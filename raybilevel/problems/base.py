"""The contract between a problem (math, models) and the runtime (Ray, storage).

A run is a chain of rounds, and `Problem.run_round` is one of them: a generator that yields stages
of shards, is sent what each was reduced to, and returns the `Update` that ends the round. A plan
depends on configuration, seed and reduced results alone, so the answer is the same to the bit
whoever ran the shards, and how often.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

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


Metrics = dict[str, float]
"""A round's numbers by the names of the history's columns."""


class Shard:
    """A small, pure description of work.

    Each kind is a frozen dataclass of its own, with typed fields that can be pickled. The runtime
    numbers shards by their place, which decides their randomness.
    """


@dataclass(frozen=True)
class Output:
    """What a shard returns, and what a stage is reduced to.

    `sums` are added over a fixed binary tree of indices, `rows` are concatenated by index, `nfe`
    counts network evaluations. `seconds`, by part of the work, are summed into the history's
    columns `seconds/<part>`; nothing else may depend on them.
    """

    sums: Arrays = field(default_factory=dict)
    rows: Arrays = field(default_factory=dict)
    nfe: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A batch of shards that may all run at once, and what all of them read.

    An empty one is answered with an empty output.
    """

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
"""The end of an evaluation."""


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
    metrics: Metrics
    stop: Stop | None = None


@dataclass(frozen=True)
class Cost:
    """NFE of an evaluation: of all of it, and of its dearest part between two results."""

    whole: int
    unit: int


class Worker(Protocol):
    """One process's model, data and metric, ready to run shards.

    One with an attribute `remarks`, sentences that a user should read, has them told before the
    first shard.
    """

    def run(self, shard: Any, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Run one shard: pure, all randomness from `key` (64 bits); never writes to `broadcast`."""
        ...


class Problem(ABC):
    """What is tuned. Picklable; knows no Ray.

    A problem of another package is a class derived from `Settings` and `Problem`, whose fields are
    its arguments in Python and in YAML. A field may not have the name of a method here, such as
    `samples`. YAML names it by its import path "package.module:Class", or by the name that its
    package registers as an entry point of the group `raybilevel.problems`. `raybilevel compare`
    asks for `evaluation` and `evaluation_cost`; `raybilevel report` shows history, best parameters
    and what `export` wrote to `pictures/*.png`.
    """

    #: the registered name of the class that a user calls, where that makes one of several
    registered_as: ClassVar[str | None] = None

    @property
    def resumable(self) -> Mapping[str, Any]:
        """What may differ when a run is resumed, since no earlier round depends on it.

        Keys of the configuration, such as "comparison.samples", and what stands there. A run that
        has ended goes on where one of them has changed.
        """
        return {}

    @property
    def exact(self) -> bool:
        """Whether the lower level gives the same bits every time, on one kind of machine."""
        return True

    def exact_in(self, state: Arrays) -> bool:
        """Whether it did in the run that has come to this state."""
        return self.exact

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
    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        """One round, from 0 on: yields stages, is sent each one's output, returns the update.

        Everything comes from the arguments and from what is sent; `state` is read-only. Nothing of
        a generator outlives its round: a run that goes on begins the round again.
        """

    @abstractmethod
    def worker(self, device: str) -> Worker:
        """Load model, data and metric, once per process, onto `device` ("cpu" or "cuda")."""

    def evaluation(self, ends: Sequence[Arrays], samples: int | None = None) -> Problem:
        """The objective at each of `ends`, as a problem whose run says what it is there.

        A search's trial is an evaluation of one x, the scoring of what methods found one of many.
        All ends are evaluated on the same samples, which the run's seed decides. Its rows have
        `upper_loss` and `upper_loss_se` of the end that was last evaluated; at the end `scores` and
        `scores_se` (n,) in its state are those of all ends, and the run is done.

        Parameters
        ----------
        ends : states of runs and evaluations, or what is left of them: "x" (d,) at least. Where the
            lower level is training and an end has no network, one is trained at its x first.
        samples : to evaluate each end on; None for as many as the problem's own runs do.

        Raises
        ------
        InputError
            If the problem cannot be compared with searches.
        """
        raise InputError(f"{type(self).__name__} cannot be compared with searches")

    def evaluation_cost(self) -> Cost:
        """What `evaluation` of one x costs, wherever it is; `InputError` as there."""
        raise InputError(f"{type(self).__name__} cannot be compared with searches")

    def costs(self) -> dict[str, int]:
        """NFE that are known before anything is drawn, by what they are for.

        Those of an evaluation, where the problem can be evaluated at one x.
        """
        try:
            return {"of an evaluation": self.evaluation_cost().whole}
        except InputError:
            return {}

    def pinned(self, before: Mapping[str, Any] | None = None) -> Self:
        """The same with what a moving name stands for now, such as a branch of a hub's model.

        Called where a run begins or goes on, before its configuration is checked and stored.

        Parameters
        ----------
        before : the stored configuration of a run that goes on, as a mapping: what a name stood for
            when it began is kept.
        """
        return self

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

    @property
    def least_nfe(self) -> int:
        """NFE without which a run says nothing of what it was asked: a smaller budget is refused.

        As far as can be told before a model is loaded.
        """
        return 0

    def planned_rounds(self, state: Arrays) -> int | None:
        """How many rounds the run will have as far as can be told, for the time left."""
        return None
