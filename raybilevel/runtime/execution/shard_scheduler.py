"""Which worker runs which shard, and when a shard runs once more."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from raybilevel.errors import InputError, RunError
from raybilevel.problems.base import Output, Shard
from raybilevel.runtime.execution.stage_progress import StageProgress
from raybilevel.runtime.execution.stragglers import StragglerStatistics
from raybilevel.runtime.execution.worker_events import (
    ShardDone,
    ShardFailed,
    WorkerEvent,
    WorkerGone,
    WorkerPreempted,
    WorkerReady,
)
from raybilevel.runtime.execution.worker_load import ShardCall, WorkerLoad
from raybilevel.runtime.numbering import NumberedStage

_SLOW = 2.0  # times the median, from which on a worker is slow
_MAX_COPIES = 2  # workers that may run the same shard at once


@dataclass(frozen=True)
class Assignment:
    """A shard for a worker to run.

    Attributes
    ----------
    call : the number that the answer's event has.
    key : 64 bits, the only source of the shard's randomness.
    """

    worker: int
    call: int
    shard: Shard
    key: int


class ShardScheduler:
    """Runs the shards of one stage after the other, each until it has one answer.

    It owns all that is known of shards and of which worker has them; of workers it knows what
    `handle` was told. What it wants done it returns.

    Attributes
    ----------
    stage : the one that is running.
    """

    stage: StageProgress

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._statistics = StragglerStatistics()
        self._workers: dict[int, WorkerLoad] = {}
        self._calls = count()

    def begin(self, stage: NumberedStage) -> None:
        """Turn to a stage; answers to the one before are dropped from now on."""
        self.stage = StageProgress(stage)
        for worker in self._workers.values():
            worker.decay_slowness()

    def result(self) -> Output | None:
        """The stage's output; None where a node took it away, and all shards are to run again."""
        output = self.stage.result()
        if output is None:
            self._run_again(range(len(self.stage.shards)))
        return output

    # --- what is to be sent -------------------------------------------------------------------

    def assign(self) -> Iterator[Assignment]:
        """Queued shards for whoever is ready, the fastest first."""
        for worker in sorted(self._ready, key=lambda w: (w.slowness, w.number)):
            while self.stage.has_queued and self._has_room(worker) and self._is_of_use(worker):
                yield self._send(worker, self.stage.queue.popleft())

    def hung(self) -> list[int]:
        """Workers whose shard takes so long that they should be replaced."""
        return [
            number
            for number, worker in self._workers.items()
            if (call := worker.current)
            and self._statistics.is_hung(call.shard.kind, time.monotonic() - call.started)
        ]

    def assign_copies(self) -> Iterator[Assignment]:
        """Late shards for idle workers; what a preempted worker will not end is queued again."""
        for worker in sorted(self._workers.values(), key=lambda w: w.number):
            if worker.current is None:
                continue
            if worker.leave_by is not None:
                self._requeue_unfinishable(worker, worker.leave_by, worker.current.started)
            elif not self.stage.has_queued and self._is_late(worker):
                for call in worker.calls.values():
                    yield from self._copy(call)

    @property
    def _ready(self) -> list[WorkerLoad]:
        return [worker for worker in self._workers.values() if worker.leave_by is None]

    def _has_room(self, worker: WorkerLoad) -> bool:
        """Whether to send one more: of short shards two, so that no worker waits for the next."""
        kind = self.stage.shards[self.stage.queue[0]].kind
        ours = all(call.stage is self.stage for call in worker.calls.values())
        return len(worker.calls) < (2 if ours and self._statistics.is_short(kind) else 1)

    def _is_of_use(self, worker: WorkerLoad) -> bool:
        """Whether the others would not be through the queue before a slow one is done."""
        if worker.slowness <= _SLOW:
            return True
        fast = sum(w.slowness <= _SLOW and not self._is_late(w) for w in self._ready)
        return len(self.stage.queue) > (worker.slowness - 1) * fast

    def _is_late(self, worker: WorkerLoad) -> bool:
        """Whether an idle worker should run, too, what this one is running."""
        call = worker.current
        if call is None:
            return False
        waited = time.monotonic() - call.started
        return self._statistics.is_late(call.shard.kind, waited, worker.slowness)

    def _send(self, worker: WorkerLoad, index: int) -> Assignment:
        shard, number = self.stage.shards[index], next(self._calls)
        worker.calls[number] = ShardCall(self.stage, shard, time.monotonic())
        self.stage.count_sent(index)
        return Assignment(worker.number, number, shard.shard, shard.key(self._seed))

    def _requeue_unfinishable(self, worker: WorkerLoad, leave_by: float, started: float) -> None:
        """Queue again what will not be done before the worker's node goes."""
        for call in worker.calls.values():
            index = call.shard.index
            in_time = self._statistics.fits(call.shard.kind, leave_by - started)
            if self._wants(call) and not in_time and self._copies(index) < _MAX_COPIES:
                self.stage.queue_first(index)

    def _copy(self, late: ShardCall) -> Iterator[Assignment]:
        idle = [worker for worker in self._ready if not worker.calls]
        index = late.shard.index
        if idle and self._wants(late) and self._copies(index) < _MAX_COPIES:
            yield self._send(min(idle, key=lambda w: (w.slowness, w.number)), index)

    def _wants(self, call: ShardCall) -> bool:
        return call.stage is self.stage and call.shard.index in self.stage.open

    def _copies(self, index: int) -> int:
        """How many workers have the stage's shard `index` in flight."""
        calls = (call for worker in self._workers.values() for call in worker.calls.values())
        return sum(call.stage is self.stage and call.shard.index == index for call in calls)

    # --- what has happened --------------------------------------------------------------------

    def handle(self, event: WorkerEvent) -> None:
        """Take note of what became of a worker or of a shard that it was sent.

        Raises
        ------
        RunError, InputError
            If a shard has raised, or killed its worker, too often; or raised one of these itself.
        """
        match event:
            case WorkerReady():
                self._workers[event.worker] = WorkerLoad(event.worker)
            case WorkerPreempted():
                self._workers[event.worker].leave_by = event.leave_by
            case WorkerGone():
                self._take_back(event.worker)
            case ShardDone():
                self._done(event)
            case ShardFailed():
                self._failed(event)

    def forget_workers(self) -> None:
        """Take note that all workers were ended, between two stages or for good."""
        self._workers.clear()

    def take_additions(self, arrived: Iterable[Any]) -> None:
        """Take those of the references that are additions which have ended."""
        for reference in arrived:
            if reference in self.stage.additions:
                self._run_again(self.stage.take_addition(reference))

    def _take_back(self, number: int) -> None:
        """What a worker that is gone had in flight runs elsewhere."""
        worker = self._workers.pop(number, WorkerLoad(number))  # one that loaded had nothing
        for call in worker.calls.values():
            if self._wants(call):
                if call is worker.current:
                    self.stage.count_death(call.shard.index)
                self._requeue(call.shard.index)

    def _done(self, event: ShardDone) -> None:
        worker, report = self._workers[event.worker], event.report
        call = worker.finish(event.call)
        worker.add_duration(self._statistics.ratio(call.shard.kind, report.seconds))
        self._statistics.add(call.shard.kind, report.seconds)
        self.stage.cost.add_seconds(report.seconds, report.seconds_by_part)
        if self._wants(call):
            self._run_again(self.stage.put(call.shard.index, report, event.sums))

    def _failed(self, event: ShardFailed) -> None:
        call, error = self._workers[event.worker].finish(event.call), event.error
        if not self._wants(call):
            return
        if isinstance(error.cause, (RunError, InputError)):
            raise error.cause
        self.stage.count_failure(call.shard.index, error)
        self._requeue(call.shard.index)

    def _run_again(self, lost: Iterable[int]) -> None:
        """Run shards again whose sums went with a node."""
        for index in lost:
            self.stage.open.add(index)
            self._requeue(index)

    def _requeue(self, index: int) -> None:
        if not self._copies(index):
            self.stage.queue_first(index)
