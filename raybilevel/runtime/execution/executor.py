"""Runs a stage's shards on any number of workers that come and go.

What runs where is decided by who is ready; what is returned is not, since outputs are reduced by
shard index. So a shard may run twice, or on a worker that joined a second ago.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Protocol

import ray

from raybilevel.config.settings import ScalingConfig
from raybilevel.errors import Starved
from raybilevel.problems.base import Output
from raybilevel.runtime.environment import Facts
from raybilevel.runtime.execution.shard_scheduler import Assignment, ShardScheduler
from raybilevel.runtime.execution.worker_events import WorkerEvent
from raybilevel.runtime.execution.worker_group import WorkerGroup
from raybilevel.runtime.numbering import NumberedStage
from raybilevel.runtime.serialization import Serialized


class StageWatch(Protocol):
    """Whom an executor tells how it is getting on."""

    def tick(self, workers: int, left: int) -> None:
        """Called a few times a second with workers ready and shards left; may raise to stop."""

    def say(self, sentence: str) -> None:
        """Called with what the user should read."""


Costs = dict[str, Any]
"""What a stage cost beyond its own NFE, by the ledger's names."""

_PATIENCE_S = 10.0  # with too few workers, after which the user is told
_IDLE_S = 60.0  # without a stage, after which the workers are given back
_TICK_S = 0.2  # between looks at the clock


class StageExecutor:
    """Between min and max workers, and the stages they run, one after the other.

    It carries events from the worker group to the shard scheduler, and assignments back.

    Parameters
    ----------
    idle_s : seconds without a stage, after which the workers are given back to the cluster.
    group : workers that are kept from run to run; None for a group of its own.
    """

    def __init__(
        self,
        problem: Serialized,
        scaling: ScalingConfig,
        seed: int,
        watch: StageWatch,
        *,
        idle_s: float = _IDLE_S,
        group: WorkerGroup | None = None,
    ) -> None:
        self._group, self._keeps = group or WorkerGroup(), group is not None
        self._group.load(problem, scaling, watch.say)
        self._scheduler = ShardScheduler(seed)
        self._scaling, self._watch = scaling, watch
        self._idle_s, self._timer = idle_s, threading.Timer(idle_s, lambda: None)
        self._lock, self._stages = threading.Lock(), 0
        self._gathered = False
        self._short_since: float | None = None
        self._told = False

    @property
    def ready(self) -> int:
        """Workers that have loaded the problem."""
        return self._group.ready

    @property
    def facts(self) -> list[Facts]:
        """What the bits depend on, of each kind of worker that was ever ready."""
        return self._group.kinds

    def close(self) -> None:
        """End all workers, or keep those of a group that is for other runs, too."""
        self._timer.cancel()
        with self._lock:
            if self._keeps:
                self._group.keep_idle()
            else:
                self._end_workers()

    def run(self, stage: NumberedStage) -> tuple[Output, Costs]:
        """Run all shards of a stage and reduce what they return.

        The first waits until min workers are ready; from then on it takes as few as there are.

        Raises
        ------
        Starved
            Where fewer than min workers were ready for `scaling.min_workers_timeout_s`.
        """
        self._timer.cancel()
        with self._lock:
            self._stages += 1
            self._short_since, self._told = None, False
            output, costs = self._run(stage)
        self._timer = threading.Timer(self._idle_s, self._give_back, [self._stages])
        self._timer.daemon = True
        self._timer.start()
        return output, costs

    def _run(self, stage: NumberedStage) -> tuple[Output, Costs]:
        content = stage.content.broadcast
        broadcast = ray.put(content) if content else {}
        self._scheduler.begin(stage)
        output = None
        while output is None:
            while not self._scheduler.stage.finished:
                self._step(broadcast)
            output = self._scheduler.result()
        return output, asdict(self._scheduler.stage.cost) | asdict(self._group.take_changes())

    def _step(self, broadcast: Any) -> None:
        self._group.request_missing()
        self._handle(self._group.preemptions())
        self._check_size()
        if self._gathered:
            self._assign(broadcast)
        arrived = _arrived([*self._group.references, *self._scheduler.stage.additions])
        self._handle(self._group.events(arrived))
        self._scheduler.take_additions(arrived)
        self._watch.tick(self.ready, self._scheduler.stage.left)

    def _assign(self, broadcast: Any) -> None:
        self._send(self._scheduler.assign(), broadcast)
        self._handle(self._group.lose(worker) for worker in self._scheduler.hung())
        self._send(self._scheduler.assign_copies(), broadcast)

    def _handle(self, events: Iterable[WorkerEvent]) -> None:
        for event in events:
            self._scheduler.handle(event)

    def _send(self, assignments: Iterable[Assignment], broadcast: Any) -> None:
        for each in assignments:
            self._group.send(each.worker, each.call, each.shard, broadcast, each.key)

    def _check_size(self) -> None:
        """Whether there are workers enough; and for how long there were not."""
        now = time.monotonic()
        if not self._group.missing:
            self._gathered, self._short_since, self._told = True, None, False
            return
        self._short_since = self._short_since or now
        short, limit = now - self._short_since, self._scaling.min_workers_timeout_s
        there = f"{self.ready} of at least {self._scaling.num_workers[0]} workers are there"
        if short > limit:
            raise Starved(f"{there} after scaling.min_workers_timeout_s, {limit:g} s")
        if short > _PATIENCE_S and not self._told:
            self._told = True
            doing = "going on with these" if self._gathered and self.ready else "waiting"
            self._watch.say(
                f"{there}; {doing}, for up to {limit:g} s, until the others have started"
            )

    def _give_back(self, stages: int) -> None:
        """Let the cluster have the workers while the driver alone is busy, after so many stages."""
        with self._lock:
            if stages == self._stages:
                self._watch.say(
                    f"{self.ready} idle workers are given back until there is work for them"
                )
                self._end_workers()

    def _end_workers(self) -> None:
        self._group.close()
        self._scheduler.forget_workers()


def _arrived(references: list[Any]) -> list[Any]:
    """References that have an answer or an error; waits a tick for one."""
    first, _ = ray.wait(references, num_returns=1, timeout=_TICK_S)
    if not first:
        return []
    arrived, _ = ray.wait(references, num_returns=len(references), timeout=0)
    return list(arrived)
