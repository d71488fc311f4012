"""The workers of a run: asked for, ready, busy, leaving, lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray

from raybilevel.config.settings import ScalingConfig
from raybilevel.errors import RunError
from raybilevel.runtime.environment import Facts
from raybilevel.runtime.numbering import NumberedShard
from raybilevel.runtime.preemption import Drains
from raybilevel.runtime.serialization import Parcel
from raybilevel.runtime.worker import Arrival, Worker

_DEATHS = 5  # times in a row that workers may die while they load
_TICK = 0.2  # seconds between looks at the clock
_FORGIVEN = 0.8  # of a worker's slowness is left after a stage


@dataclass
class Call:
    """A shard on its way.

    Attributes
    ----------
    batch : what sent it; an answer that its batch no longer waits for is dropped.
    sums : reference to its sums.
    started : when the worker turned to it, by the monotonic clock.
    """

    batch: object
    shard: NumberedShard
    sums: Any
    started: float


@dataclass
class Member:
    """One worker actor.

    Attributes
    ----------
    loading : reference to what `load` returns.
    asked : when Ray was asked for it, by the monotonic clock.
    facts : what its bits depend on; None until it is ready.
    node : id of the node it is on, empty until it is ready.
    leave_by : when its node goes, by the monotonic clock; None while nobody says so.
    slowness : what its shards take over the median, smoothed.
    calls : shards in flight by reference, in the order sent.
    """

    actor: Any
    loading: Any
    asked: float
    facts: Facts | None = None
    node: str = ""
    leave_by: float | None = None
    slowness: float = 1.0
    calls: dict[Any, Call] = field(default_factory=dict)

    @property
    def head(self) -> Call | None:
        """What the worker is running now, if anything."""
        return next(iter(self.calls.values()), None)

    def send(self, batch: object, shard: NumberedShard, broadcast: Any, key: int) -> None:
        """Send a shard."""
        report, sums = self.actor.run.remote(shard.shard, broadcast, key)
        self.calls[report] = Call(batch, shard, sums, time.monotonic())

    def finish(self, reference: Any) -> Call:
        """Take a call that has its answer off the list; the next one begins only now."""
        call = self.calls.pop(reference)
        if self.head:
            self.head.started = time.monotonic()
        return call


@dataclass
class Changes:
    """Workers that came and went, by the ledger's names."""

    workers_joined: int = 0
    workers_lost: int = 0
    workers_drained: int = 0


class Crew:
    """Up to max workers, of which those that do not fit on the cluster yet stay pending.

    Attributes
    ----------
    changes : who came and went since it was last taken.
    kinds : what the bits depend on, of all who were ever ready, each kind once.
    """

    def __init__(self, problem: Parcel, scaling: ScalingConfig, say: Callable[[str], None]) -> None:
        self._problem = ray.put(problem)
        self._scaling, self._say = scaling, say
        self._drains = Drains()
        self._deaths, self._last_death = 0, 0.0
        self.members: list[Member] = []
        self.changes = Changes()
        self.kinds: list[Facts] = []

    @property
    def ready(self) -> list[Member]:
        """Those that have loaded the problem and stay."""
        return [m for m in self.members if m.facts is not None and m.leave_by is None]

    @property
    def missing(self) -> int:
        """How many are wanting to min workers."""
        return max(0, self._scaling.num_workers[0] - len(self.ready))

    def recruit(self) -> None:
        """Ask Ray for all that are missing, so that its autoscaler sees the demand."""
        staying = sum(m.leave_by is None for m in self.members)
        for _ in range(self._scaling.num_workers[1] - staying):
            self.members.append(self._ask())

    def _ask(self) -> Member:
        scaling = self._scaling
        options = Worker.options(  # type: ignore[attr-defined]
            num_cpus=scaling.cpus_per_worker, num_gpus=int(scaling.use_gpu)
        )
        actor = options.remote(scaling.cpus_per_worker)
        device = "cuda" if scaling.use_gpu else "cpu"
        return Member(actor, actor.load.remote(self._problem, device), time.monotonic())

    def heed_drains(self) -> None:
        """Mark those whose node is to go, and give back those of them that have nothing to do."""
        deadlines = self._drains.look()
        for member in self.members:
            if member.leave_by is None and member.node in deadlines:
                member.leave_by = deadlines[member.node]
                self._say(f"node {member.node[:8]} is drained: its workers take no new shards")
        for member in [m for m in self.members if m.leave_by is not None and not m.calls]:
            self.changes.workers_drained += 1
            self._end(member)

    def arrived(self, others: list[Any]) -> list[Any]:
        """References, of ours and others, that have an answer or an error; waits a tick for one."""
        waiting = [m.loading for m in self.members if m.facts is None]
        waiting += [reference for m in self.members for reference in m.calls]
        waiting += others
        first, _ = ray.wait(waiting, num_returns=1, timeout=_TICK)
        if not first:
            return []
        ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0)
        return list(ready)

    def member_of(self, reference: Any) -> Member | None:
        """Whose reference it is; None where that worker was lost a moment ago."""
        return next(
            (m for m in self.members if m.loading == reference or reference in m.calls), None
        )

    def copies(self, batch: object, index: int) -> int:
        """How many workers have the batch's shard `index` in flight."""
        calls = (call for member in self.members for call in member.calls.values())
        return sum(call.batch is batch and call.shard.index == index for call in calls)

    def forgive(self) -> None:
        """Let those who were slow try again, by and by."""
        for member in self.members:
            member.slowness = 1 + _FORGIVEN * (member.slowness - 1)

    def welcome(self, member: Member, arrival: Arrival) -> None:
        """Take note that a worker is ready."""
        member.facts, member.node = arrival.facts, arrival.node
        self.changes.workers_joined += 1
        if arrival.facts not in self.kinds:
            self.kinds.append(arrival.facts)
        self._deaths = 0

    def lose(self, member: Member) -> None:
        """Give up a worker.

        Raises
        ------
        RunError
            If it was the fifth time in a row that one died while it loaded.
        """
        self._end(member)
        if member.facts is not None:
            self.changes.workers_lost += 1
        elif member.asked > self._last_death:  # those who died together count once
            self._last_death = time.monotonic()
            self._deaths += 1
            if self._deaths >= _DEATHS:
                raise RunError(f"workers died {_DEATHS} times in a row while loading the problem")

    def _end(self, member: Member) -> None:
        self.members.remove(member)
        ray.kill(member.actor)

    def take_changes(self) -> Changes:
        """Who came and went since this was last asked."""
        changes, self.changes = self.changes, Changes()
        return changes

    def close(self) -> None:
        """End all workers."""
        for member in self.members:
            ray.kill(member.actor)
        self.members = []
