"""One life of a driver: from the last checkpoint to the end of the run, or of the driver."""

from __future__ import annotations

import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raybilevel.config import RunConfig, ScalingConfig
from raybilevel.errors import Interrupted
from raybilevel.problems.base import Output, Problem, Stage
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.environment import Environment
from raybilevel.runtime.parcel import Parcel
from raybilevel.runtime.pool import Pool
from raybilevel.runtime.run import Row, Run
from raybilevel.runtime.storage import RunDirectory
from raybilevel.runtime.summary import summarise


@dataclass(frozen=True)
class Order:
    """All that a driver needs to begin, or to begin again."""

    problem: Problem
    scaling: ScalingConfig
    run: RunConfig
    name: str


@dataclass
class Board:
    """What the run's thread writes and `poll` reads."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shards_left: int = 0
    workers: int = 0
    seconds_left: float | None = None
    finished: bool = False
    error: Exception | None = None
    details: str = ""


class Life:
    """Plays rounds until the run stops, writing each beside the next."""

    def __init__(self, order: Order, board: Board, stop: threading.Event) -> None:
        self._order, self._board, self._stop = order, board, stop
        self._directory = RunDirectory(order.run.storage_path, order.name)
        self._checkpoints = Checkpoints(self._directory)
        self._environment = Environment()
        self._run = self._begin()
        self._started: float | None = None  # when the first worker was ready
        self._first_round = self._run.round
        self._stage_size = 1

    def _begin(self) -> Run:
        order = self._order
        checkpoint = self._checkpoints.take_up()
        self._board.notes.extend(order.problem.remarks())
        if checkpoint is None:
            return Run.begin(order.problem, order.run)
        run = Run.resume(order.problem, order.run, checkpoint.state, checkpoint.record)
        self._board.notes.extend(checkpoint.skipped)
        self._board.notes.extend(self._environment.recall(checkpoint.record["environment"]))
        self._board.rows.append(run.last)
        if checkpoint.record["limits"] != _limits(order):
            run.reconsider()
        return run

    def live(self) -> None:
        """Play to the end and write what the user takes away."""
        order = self._order
        pool = Pool(Parcel.pack(order.problem), order.scaling, order.run.seed, self._tick)
        try:
            with ThreadPoolExecutor(1) as writer:
                self._play(pool, writer)
        finally:
            pool.close()
        self._finish()

    def _play(self, pool: Pool, writer: ThreadPoolExecutor) -> None:
        pending: Future[None] | None = None
        while self._run.stop is None:
            row = self._run.play(lambda stage: self._run_stage(pool, stage))
            row["num_workers"] = pool.ready
            self._board.notes.extend(self._environment.meet(pool.facts))
            if pending:  # at most one checkpoint is in the air
                pending.result()
            pending = writer.submit(
                self._checkpoints.write, self._run.state, self._record(), [dict(row)]
            )
            self._board.rows.append(row)
        if pending:
            pending.result()

    def _run_stage(self, pool: Pool, stage: Stage) -> Output:
        self._stage_size = len(stage.shards)
        output, cost = pool.run(stage)
        ledger = self._run.ledger
        ledger.worker_seconds_total += cost.worker_seconds
        ledger.shards_retried += cost.shards_retried
        ledger.nfe_repeated += cost.nfe_repeated
        return output

    def _record(self) -> dict[str, Any]:
        environment = self._environment.record()
        return {**self._run.record(), "environment": environment, "limits": _limits(self._order)}

    def _tick(self, workers: int, left: int) -> None:
        if self._stop.is_set():
            raise Interrupted("the run was stopped")
        self._board.shards_left, self._board.workers = left, workers
        if workers and self._started is None:
            self._started = time.monotonic()
        self._board.seconds_left = self._seconds_left(left)

    def _seconds_left(self, left: int) -> float | None:
        planned = self._order.problem.planned_rounds(self._run.state)
        fraction = 1 - left / self._stage_size
        done = self._run.round - self._first_round + fraction
        if planned is None or self._started is None or done == 0:
            return None
        rate = (time.monotonic() - self._started) / done
        return max(planned - self._run.round - fraction, 0.0) * rate

    def _finish(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._order.problem.export(self._run.state, Path(folder))
            self._directory.upload(Path(folder))
        summary = summarise(self._run, self._environment)
        self._directory.write("summary.json", summary)


def _limits(order: Order) -> dict[str, Any]:
    """What may be raised to let a stopped run go on."""
    own = {name: getattr(order.problem, name) for name in sorted(order.problem.resumable)}
    return {**own, "max_rounds": order.run.max_rounds, "max_nfe": order.run.max_nfe}
