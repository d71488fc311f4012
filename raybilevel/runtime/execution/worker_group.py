"""The workers of a run: asked for, ready, busy, preempted, lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from raybilevel.config.settings import ScalingConfig
from raybilevel.errors import InputError, RunError
from raybilevel.problems.base import Shard
from raybilevel.runtime.environment import Facts
from raybilevel.runtime.execution.preemption import Preemptions
from raybilevel.runtime.execution.worker import Loaded, WorkerActor
from raybilevel.runtime.execution.worker_events import (
    ShardDone,
    ShardFailed,
    WorkerEvent,
    WorkerGone,
    WorkerPreempted,
    WorkerReady,
)
from raybilevel.runtime.execution.worker_handle import WorkerHandle
from raybilevel.runtime.serialization import Serialized

_MAX_DEATHS = 5  # times in a row that workers may die while they load


@dataclass
class Changes:
    """Workers that came and went, by the ledger's names."""

    workers_joined: int = 0
    workers_lost: int = 0
    workers_drained: int = 0


class WorkerGroup:
    """Up to max workers, of which those that do not fit on the cluster yet stay pending.

    It knows calls by their numbers and nothing of shards; what becomes of workers and calls it says
    as events, each of them once.

    Attributes
    ----------
    kinds : what the bits depend on, of all who were ever ready, each kind once.
    """

    _problem: Any
    _scaling: ScalingConfig

    def __init__(self) -> None:
        self._preemptions = Preemptions()
        self._last_death = 0.0
        self._workers: dict[int, WorkerHandle] = {}
        self._numbers = count()

    def load(self, problem: Serialized, scaling: ScalingConfig, say: Callable[[str], None]) -> None:
        """Turn to a run: have the workers that an earlier one has left load its problem.

        Parameters
        ----------
        scaling : the same as of the earlier run.
        say : takes a sentence for the user.
        """
        self._problem = ray.put(problem)
        self._scaling, self._say = scaling, say
        self._changes, self._deaths = Changes(), 0
        self.kinds: list[Facts] = []
        for worker in self._workers.values():
            worker.loading, worker.asked = self._load(worker.actor), time.monotonic()
            worker.facts, worker.node = None, ""

    @property
    def ready(self) -> int:
        """How many have loaded the problem and stay."""
        return sum(worker.ready for worker in self._workers.values())

    @property
    def missing(self) -> int:
        """How many are wanting to min workers."""
        return max(0, self._scaling.num_workers[0] - self.ready)

    @property
    def references(self) -> list[Any]:
        """References that will have an answer or an error: `events` says what it means."""
        return [reference for w in self._workers.values() for reference in w.references]

    def request_missing(self) -> None:
        """Ask Ray for all workers up to max, so that its autoscaler sees the demand."""
        staying = sum(worker.leave_by is None for worker in self._workers.values())
        for _ in range(self._scaling.num_workers[1] - staying):
            self._workers[next(self._numbers)] = self._request()

    def _request(self) -> WorkerHandle:
        scaling = self._scaling
        options = WorkerActor.options(  # type: ignore[attr-defined]
            num_cpus=scaling.cpus_per_worker, num_gpus=scaling.gpus
        )
        actor = options.remote(scaling.cpus_per_worker)
        return WorkerHandle(actor, self._load(actor), time.monotonic())

    def _load(self, actor: Any) -> Any:
        return actor.load.remote(self._problem, "cuda" if self._scaling.use_gpu else "cpu")

    def send(self, worker: int, call: int, shard: Shard, broadcast: Any, key: int) -> None:
        """Have a worker run a shard after those that it has; `call` is what its event will say."""
        handle = self._workers[worker]
        report, sums = handle.actor.run.remote(shard, broadcast, key)
        handle.calls[report] = call, sums

    def preemptions(self) -> Iterator[WorkerEvent]:
        """Events of those whose node is to go: first that it is, then that they have ended.

        They are ended once they have nothing in flight.
        """
        deadlines = self._preemptions.deadlines()
        for number, worker in list(self._workers.items()):
            if worker.leave_by is None and worker.node in deadlines:
                worker.leave_by = deadlines[worker.node]
                self._say(f"node {worker.node[:8]} is drained: its workers take no new shards")
                yield WorkerPreempted(number, worker.leave_by)
            if worker.leave_by is not None and not worker.calls:
                self._changes.workers_drained += 1
                yield self._end(number)

    def events(self, arrived: Iterable[Any]) -> Iterator[WorkerEvent]:
        """What references say that have an answer or an error; others' references say nothing.

        Raises
        ------
        RunError
            If none could load the problem yet, and one has failed, or too many have failed or died
            one after the other.
        InputError
            If none could load it yet, and the user's input is to blame.
        """
        for reference in arrived:
            number = next((n for n, w in self._workers.items() if reference in w.references), None)
            if number is not None:
                yield self._event(number, reference)

    def _event(self, number: int, reference: Any) -> WorkerEvent:
        worker = self._workers[number]
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            return self._raised(number, worker, reference, error)
        except RayError:
            return self.lose(number)
        if reference not in worker.calls:
            return self._loaded(number, worker, answer)
        call, sums = worker.calls.pop(reference)
        return ShardDone(number, call, answer, sums)

    def _raised(
        self, number: int, worker: WorkerHandle, reference: Any, error: RayTaskError
    ) -> WorkerEvent:
        if reference not in worker.calls and self.kinds:  # others could: a node's trouble
            self._say(f"a worker could not load the problem, and is given up: {error.cause}")
            return self.lose(number)
        if reference not in worker.calls:
            kind = InputError if isinstance(error.cause, InputError) else RunError
            raise kind(f"a worker could not load the problem: {error.cause}") from error.cause
        call, _ = worker.calls.pop(reference)
        return ShardFailed(number, call, error)

    def _loaded(self, number: int, worker: WorkerHandle, loaded: Loaded | None) -> WorkerEvent:
        if loaded is None:
            return self._end(number)
        worker.facts, worker.node = loaded.facts, loaded.node
        self._changes.workers_joined += 1
        if loaded.facts not in self.kinds:  # of a kind one speaks for all
            self.kinds.append(loaded.facts)
            for remark in loaded.remarks:
                self._say(remark)
        self._deaths = 0
        return WorkerReady(number)

    def lose(self, number: int) -> WorkerEvent:
        """Give up a worker that has died or hangs.

        Raises
        ------
        RunError
            If it was the fifth time in a row that one died while it loaded.
        """
        worker, event = self._workers[number], self._end(number)
        if worker.facts is not None:
            self._changes.workers_lost += 1
        elif worker.asked > self._last_death:  # those who died together count once
            self._last_death = time.monotonic()
            self._deaths += 1
            if self._deaths >= _MAX_DEATHS:
                raise RunError(
                    f"workers died {_MAX_DEATHS} times in a row while loading the problem"
                )
        return event

    def _end(self, number: int) -> WorkerGone:
        ray.kill(self._workers.pop(number).actor)
        return WorkerGone(number)

    def take_changes(self) -> Changes:
        """Who came and went since this was last asked."""
        changes, self._changes = self._changes, Changes()
        return changes

    def keep_idle(self) -> None:
        """End all workers but those that another run may have at once, without events."""
        for number, worker in list(self._workers.items()):
            if not worker.ready or worker.calls:
                self._end(number)

    def close(self) -> None:
        """End all workers, without events."""
        for number in list(self._workers):
            self._end(number)
