"""One life of a driver: from the last checkpoint to the end of the run, or of the driver."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from raybilevel.callbacks import Listener
from raybilevel.config.settings import RunConfig, ScalingConfig
from raybilevel.errors import Interrupted, Starved
from raybilevel.problems.base import Output, Problem, Status, Stop
from raybilevel.runtime.callbacks import Callbacks
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.environment import Environment
from raybilevel.runtime.executor import Pool
from raybilevel.runtime.numbering import NumberedStage
from raybilevel.runtime.rounds import Row, Run
from raybilevel.runtime.serialization import Parcel
from raybilevel.runtime.storage import FAILED, RunDirectory
from raybilevel.runtime.summary import summarise
from raybilevel.runtime.writer import Writer, insist


@dataclass(frozen=True)
class Order:
    """All that a driver needs to begin, or to begin again."""

    problem: Problem
    scaling: ScalingConfig
    run: RunConfig
    name: str
    listeners: tuple[Listener, ...] = ()


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
    """Plays rounds until the run stops, writing each beside the next.

    Parameters
    ----------
    patience_s : how long the storage may be away at the beginning.
    """

    def __init__(
        self, order: Order, board: Board, stop: threading.Event, patience_s: float = 0.0
    ) -> None:
        self._order, self._board, self._stop = order, board, stop
        self._directory = RunDirectory(order.run.storage_path, order.name)
        insist(self._directory.try_out, patience_s, self.say)
        self._patience = patience_s
        self._checkpoints = Checkpoints(self._directory)
        self._environment = Environment()
        self._run = self._begin()
        self._started: float | None = None  # when the first worker was ready
        self._first_round = self._run.round
        self._stage_size = 1

    def _begin(self) -> Run:
        order = self._order
        checkpoint = insist(self._checkpoints.take_up, self._patience, self.say)
        self._board.notes.extend(order.problem.remarks())
        if checkpoint is None:
            return Run.begin(order.problem, order.run)
        run = Run.resume(order.problem, order.run, checkpoint.state, checkpoint.record)
        self._board.notes.extend(checkpoint.skipped)
        self._board.notes.extend(self._environment.recall(checkpoint.record["environment"]))
        self._board.rows.append(run.last)
        if checkpoint.record["limits"] != _limits(order):
            run.reconsider()
        for word in ("summary.json", FAILED):  # of an end that was none
            if run.stop is None and self._directory.has(word):
                self._directory.delete(word)
        return run

    def live(self) -> None:
        """Play to the end and write what the user takes away.

        Raises
        ------
        Starved
            Where too few workers came for too long; the rounds that are done are written.
        """
        order = self._order
        pool = Pool(Parcel.pack(order.problem), order.scaling, order.run.seed, self)
        callbacks = Callbacks(order.listeners, self.say)
        try:
            self._play(pool, callbacks)
        except Starved as error:
            self._stop_starved(error)
        finally:
            pool.close()
            callbacks.close(self._run.stop is not None)
        self._finish()

    def _play(self, pool: Pool, callbacks: Callbacks) -> None:
        writer = Writer(self._order.run.storage_timeout_s, self.say)
        try:
            while self._run.stop is None:
                row = self._run.play(lambda stage: self._run_stage(pool, stage))
                row["num_workers"] = pool.ready
                self._board.notes.extend(self._environment.meet(pool.facts))
                row["checkpoint_wait_s"] = writer.wait()  # at most one checkpoint is in the air
                writer.write(self._checkpoint(dict(row)))
                callbacks.row(dict(row))
                self._board.rows.append(row)
        finally:
            writer.wait()

    def _checkpoint(self, row: Row) -> Callable[[], None]:
        return partial(self._checkpoints.write, self._run.state, self._record(), [row])

    def _stop_starved(self, error: Starved) -> None:
        """Sum up the rounds that are done: going on with the run takes it from there."""
        going_on = f"{error}; all rounds are saved: go on with --resume when the cluster has room"
        if self._run.round:
            self._run.stop = Stop(Status.STOPPED, going_on)
            self._finish()
        raise Starved(going_on) from None

    def _run_stage(self, pool: Pool, stage: NumberedStage) -> Output:
        self._stage_size = len(stage.content.shards)
        output, costs = pool.run(stage)
        self._run.ledger.charge(costs)
        return output

    def _record(self) -> dict[str, Any]:
        environment = self._environment.record()
        return {**self._run.record(), "environment": environment, "limits": _limits(self._order)}

    def say(self, sentence: str) -> None:
        """Let the user read a sentence."""
        self._board.notes.append(sentence)

    def tick(self, workers: int, left: int) -> None:
        """Take note of how the running stage stands; `Interrupted` where the run is to stop."""
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
            self._insist(lambda: self._directory.upload(Path(folder)))
        summary = summarise(self._run, self._environment)
        self._insist(lambda: self._directory.write("summary.json", summary))

    def _insist(self, action: Callable[[], None]) -> None:
        insist(action, self._order.run.storage_timeout_s, self.say)


def _limits(order: Order) -> dict[str, Any]:
    """What may be raised to let a stopped run go on."""
    own = {name: attrgetter(name)(order.problem) for name in sorted(order.problem.resumable)}
    return {**own, "max_rounds": order.run.max_rounds, "max_nfe": order.run.max_nfe}
