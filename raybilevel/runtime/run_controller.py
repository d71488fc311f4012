"""Plays a run from its last checkpoint to its end, or to the end of its driver."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from raybilevel.callbacks import Row
from raybilevel.errors import Interrupted, Starved
from raybilevel.problems.base import Output, Status, Stop
from raybilevel.runtime.callbacks import Callbacks
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.environment import Environment
from raybilevel.runtime.execution.executor import StageExecutor
from raybilevel.runtime.execution.worker_group import WorkerGroup
from raybilevel.runtime.numbering import NumberedStage
from raybilevel.runtime.rounds import Run
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.run_status import RunStatus
from raybilevel.runtime.serialization import Serialized
from raybilevel.runtime.storage import FAILED, RunDirectory
from raybilevel.runtime.summary import summarise
from raybilevel.runtime.writer import Writer, retry


class RunController:
    """Plays rounds until the run stops, writing each beside the next.

    Parameters
    ----------
    patience_s : how long the storage may be away at the beginning.
    group : workers that are kept from run to run; None for those of this run alone.
    """

    def __init__(
        self,
        spec: RunSpec,
        status: RunStatus,
        stop: threading.Event,
        patience_s: float = 0.0,
        group: WorkerGroup | None = None,
    ) -> None:
        self._group = group
        self._spec, self._status, self._stop = spec, status, stop
        self._directory = RunDirectory(spec.run.storage_path, spec.name)
        retry(self._directory.try_out, patience_s, self.say)
        self._patience = patience_s
        self._checkpoints = Checkpoints(self._directory)
        self._environment = Environment()
        self._run = self._begin()
        self._started: float | None = None  # when the first worker was ready
        self._first_round = self._run.round
        self._stage_size = 1

    def _begin(self) -> Run:
        spec = self._spec
        checkpoint = retry(self._checkpoints.recover, self._patience, self.say)
        self._status.notes.extend(spec.problem.remarks())
        if checkpoint is None:
            return Run.begin(spec.problem, spec.run)
        run = Run.resume(spec.problem, spec.run, checkpoint.state, checkpoint.record)
        self._status.notes.extend(checkpoint.skipped)
        self._status.notes.extend(self._environment.restore(checkpoint.record["environment"]))
        self._status.rows.append(run.last)
        if checkpoint.record["limits"] != _limits(spec):
            run.reconsider(
                checkpoint.record["limits"].get("bounds", _bounds(spec)) != _bounds(spec)
            )
        for file in ("summary.json", FAILED):  # of an end that the run goes on from
            if run.stop is None and self._directory.has(file):
                self._directory.delete(file)
        return run

    def run(self) -> None:
        """Play to the end and write what the user takes away.

        Raises
        ------
        Starved
            Where too few workers came for too long; the rounds that are done are written.
        """
        spec = self._spec
        problem = Serialized.dump(spec.problem)
        executor = StageExecutor(problem, spec.scaling, spec.run.seed, self, group=self._group)
        callbacks = Callbacks(spec.listeners, self.say)
        try:
            self._play(executor, callbacks)
        except Starved as error:
            self._stop_starved(error)
        finally:
            executor.close()
            callbacks.close(self._run.stop is not None)
        self._finish()

    def _play(self, executor: StageExecutor, callbacks: Callbacks) -> None:
        writer = Writer(self._spec.run.storage_timeout_s, self.say)
        try:
            while self._run.stop is None:
                row = self._run.play(lambda stage: self._run_stage(executor, stage))
                row["num_workers"] = executor.ready
                self._status.notes.extend(self._environment.add_workers(executor.facts))
                row["checkpoint_wait_s"] = writer.wait()  # at most one checkpoint is in the air
                writer.write(self._checkpoint(dict(row)))
                callbacks.row(dict(row))
                self._status.rows.append(row)
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

    def _run_stage(self, executor: StageExecutor, stage: NumberedStage) -> Output:
        self._stage_size = len(stage.content.shards)
        output, costs = executor.run(stage)
        self._run.ledger.charge(costs)
        return output

    def _record(self) -> dict[str, Any]:
        environment = self._environment.record()
        return {**self._run.record(), "environment": environment, "limits": _limits(self._spec)}

    def say(self, sentence: str) -> None:
        """Let the user read a sentence."""
        self._status.notes.append(sentence)

    def tick(self, workers: int, left: int) -> None:
        """Take note of how the running stage stands; `Interrupted` where the run is to stop."""
        if self._stop.is_set():
            raise Interrupted("the run was stopped")
        self._status.shards_left, self._status.workers = left, workers
        if workers and self._started is None:
            self._started = time.monotonic()
        self._status.seconds_left = self._seconds_left(left)

    def _seconds_left(self, left: int) -> float | None:
        planned = self._spec.problem.planned_rounds(self._run.state)
        fraction = 1 - left / self._stage_size
        done = self._run.round - self._first_round + fraction
        if planned is None or self._started is None or done == 0:
            return None
        rate = (time.monotonic() - self._started) / done
        return max(planned - self._run.round - fraction, 0.0) * rate

    def _finish(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._spec.problem.export(self._run.state, Path(folder))
            self._retry(lambda: self._directory.upload(Path(folder)))
        summary = summarise(self._run, self._environment)
        self._retry(lambda: self._directory.write("summary.json", summary))

    def _retry(self, action: Callable[[], None]) -> None:
        retry(action, self._spec.run.storage_timeout_s, self.say)


def _limits(spec: RunSpec) -> dict[str, Any]:
    """What may be raised to let a stopped run go on."""
    budgets = {"max_rounds": spec.run.max_rounds, "max_nfe": spec.run.max_nfe}
    return {**spec.problem.resumable, **budgets, "bounds": _bounds(spec)}


def _bounds(spec: RunSpec) -> list[list[float]]:
    return [[variable.low, variable.high] for variable in spec.problem.variables]
