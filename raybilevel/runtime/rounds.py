"""A run between rounds: what a checkpoint holds, and the one step from round to round."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import numpy as np

from raybilevel.callbacks import Row
from raybilevel.config.settings import RunConfig
from raybilevel.errors import RunError
from raybilevel.problems.base import Arrays, Output, Problem, Stage, Status, Stop, Update, Worker
from raybilevel.runtime.environment import make_deterministic
from raybilevel.runtime.numbering import NumberedStage
from raybilevel.runtime.reduce import Reduction
from raybilevel.runtime.threads import threads

T = TypeVar("T")


RunStage = Callable[[NumberedStage], Output]
Round = Generator[Stage, Output, Update]


@dataclass
class Ledger:
    """What a run has cost. `nfe_total` counts each shard once, however often it ran.

    Attributes
    ----------
    seconds : of workers, by part of their work.
    """

    nfe_total: int = 0
    nfe_repeated: int = 0
    worker_seconds_total: float = 0.0
    shards_retried: int = 0
    workers_joined: int = 0
    workers_lost: int = 0
    workers_drained: int = 0
    time_total_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    def charge(self, costs: Mapping[str, Any]) -> None:
        """Add costs by name."""
        for name, value in costs.items():
            if name == "seconds":
                self.add_seconds(value)
            else:
                setattr(self, name, getattr(self, name) + value)

    def add_seconds(self, by_part: Mapping[str, float]) -> None:
        """Add seconds of workers."""
        for part, seconds in by_part.items():
            self.seconds[part] = self.seconds.get(part, 0.0) + seconds

    @property
    def row(self) -> dict[str, float]:
        """The history's columns."""
        whole = {name: value for name, value in vars(self).items() if name != "seconds"}
        return whole | {f"seconds/{part}": seconds for part, seconds in self.seconds.items()}

    @property
    def record(self) -> dict[str, Any]:
        """What a checkpoint holds of it: a copy, as the next round counts on."""
        return {**vars(self), "seconds": dict(self.seconds)}


@dataclass
class Traffic:
    """What a round's stages evaluated and sent: network evaluations, and bytes each way."""

    nfe: int = 0
    broadcast: int = 0
    returned: int = 0

    def note(self, stage: Stage, output: Output) -> None:
        """Add a stage: every shard returns all sums, of which one is left; rows are all there."""
        self.nfe += output.nfe
        self.broadcast += _bytes(stage.broadcast)
        self.returned += len(stage.shards) * _bytes(output.sums) + _bytes(output.rows)

    @property
    def row(self) -> dict[str, int]:
        """The history's columns."""
        return {"broadcast_bytes": self.broadcast, "returned_bytes": self.returned}


@dataclass
class Run:
    """A run after `round` rounds."""

    problem: Problem
    config: RunConfig
    state: Arrays
    round: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    stop: Stop | None = None
    last: Row = field(default_factory=dict)

    @classmethod
    def begin(cls, problem: Problem, config: RunConfig) -> Run:
        """A run before its first round."""
        return cls(problem, config, problem.init(config.seed))

    def play(self, run_stage: RunStage) -> Row:
        """One round: its stages, one after the other; returns the history's row."""
        started = time.monotonic()
        traffic = Traffic()
        with closing(self.problem.run_round(self.round, read_only(self.state))) as round_:
            update = self._stages(round_, run_stage, traffic)
        self.state = update.state
        self.round += 1
        self.ledger.nfe_total += traffic.nfe
        self.ledger.time_total_s += time.monotonic() - started
        self.last = self._row({**update.metrics, **traffic.row})
        self.stop = update.stop or self._over_budget()
        return self.last

    def _stages(self, round_: Round, run_stage: RunStage, traffic: Traffic) -> Update:
        output: Any = None  # what a generator that has not begun is sent
        for number in count():
            try:
                stage = round_.send(output)
            except StopIteration as end:
                return _checked(end.value, Update, "returned")
            _checked(stage, Stage, "yielded")
            output = run_stage(NumberedStage(self.round, number, stage))
            traffic.note(stage, output)
        raise AssertionError("a round ends by returning")

    def reconsider(self, moved: bool = False) -> None:
        """Take back a stop that may hold no longer, now that a limit is another.

        A run that found its optimum stays as it is: with the larger limit it had ended there too.
        So does one that made all its rounds. Where bounds are others, nothing of that is sure.

        Parameters
        ----------
        moved : whether bounds of the variables are others.
        """
        if moved:
            self.stop = self._over_budget()
        planned = self.problem.planned_rounds(self.state)
        complete = planned is not None and self.round >= planned
        if self.stop is not None and self.stop.status in (Status.BUDGET, Status.STOPPED):
            if complete:
                return
            self.stop = self._over_budget()

    def _over_budget(self) -> Stop | None:
        rounds, nfe = self.config.max_rounds, self.config.max_nfe
        if rounds is not None and self.round >= rounds:
            return self._out_of(f"max_rounds {rounds}")
        if nfe is not None and self.ledger.nfe_total >= nfe:
            return self._out_of(f"max_nfe {nfe}")
        return None

    def _out_of(self, budget: str) -> Stop:
        unknown = math.isnan(self.last.get("upper_loss", 0.0))
        why = ": upper_loss at best_params is not known yet" if unknown else ""
        return Stop(Status.BUDGET, f"{budget} is reached; raise it and resume{why}")

    def _row(self, metrics: Mapping[str, float]) -> Row:
        return {"training_iteration": self.round, **metrics, **self.ledger.row}

    def record(self) -> dict[str, Any]:
        """What a checkpoint holds beside the state, JSON-able."""
        return {
            "round": self.round,
            "ledger": self.ledger.record,
            "last": self.last,
            "stop": self.stop and vars(self.stop),
        }

    @classmethod
    def resume(
        cls, problem: Problem, config: RunConfig, state: Arrays, record: Mapping[str, Any]
    ) -> Run:
        """The run that a checkpoint's state and record were taken from."""
        stop = record["stop"] and Stop(Status(record["stop"]["status"]), record["stop"]["reason"])
        ledger = Ledger(**record["ledger"])
        return cls(problem, config, state, record["round"], ledger, stop, dict(record["last"]))


def read_only(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Views of arrays that nobody can write to."""
    views = {name: np.asarray(a).view() for name, a in arrays.items()}
    for view in views.values():
        view.flags.writeable = False
    return views


def _checked(found: Any, wanted: type[T], did: str) -> T:
    if not isinstance(found, wanted):
        raise RunError(
            f"the problem's run_round {did} a {type(found).__name__}; it yields `Stage`s and "
            "returns an `Update`"
        )
    return found


def _bytes(arrays: Arrays) -> int:
    return sum(a.nbytes for a in arrays.values())


def run_locally(
    problem: Problem,
    config: RunConfig | None = None,
    *,
    device: str = "cpu",
    threads_per_worker: int = 1,
) -> tuple[Run, list[Row]]:
    """The whole loop in this process, without Ray and without storage.

    The oracle for every exactness test, and the way to debug a problem: same configuration and
    seed give the same bits as any run on Ray.

    Returns
    -------
    The run at its end, and the history's rows.
    """
    problem.check()
    make_deterministic(device)
    with threads(threads_per_worker):
        worker = problem.worker(device)
    run = Run.begin(problem, config or RunConfig())
    rows = []
    while run.stop is None:
        with threads(1):
            rows.append(run.play(lambda stage: run_stage(stage, worker, run, threads_per_worker)))
    return run, rows


def run_stage(stage: NumberedStage, worker: Worker, run: Run, threads_per_worker: int) -> Output:
    """All shards of a stage in this process, charged to the run's ledger."""
    reduction = Reduction(len(stage.content.shards))
    broadcast = read_only(stage.content.broadcast)  # as Ray hands it out
    with threads(threads_per_worker):
        for shard in stage.shards:
            started = time.monotonic()
            output = worker.run(shard.shard, broadcast, shard.key(run.config.seed))
            run.ledger.worker_seconds_total += time.monotonic() - started
            run.ledger.add_seconds(output.seconds)
            reduction.put(shard.index, output)
    return reduction.result()
