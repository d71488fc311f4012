"""The workers of a run: asked for, ready, busy, lost."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import ray

from raybilevel.config import ScalingConfig
from raybilevel.errors import RunError
from raybilevel.problems.base import Shard
from raybilevel.runtime.environment import Facts
from raybilevel.runtime.parcel import Parcel
from raybilevel.runtime.worker import Worker

_DEATHS = 5  # workers that may die in a row while they load
_TICK = 0.2  # seconds between looks at the clock


@dataclass
class Call:
    """A shard on its way.

    Attributes
    ----------
    batch : what sent it; an answer that its batch no longer waits for is dropped.
    started : when the worker turned to it, by the monotonic clock.
    """

    batch: object
    shard: Shard
    started: float


@dataclass
class Member:
    """One worker actor.

    Attributes
    ----------
    loading : reference to what `load` returns.
    facts : what it returned; None until the worker is ready.
    calls : shards in flight by reference, in the order sent.
    """

    actor: Any
    loading: Any
    facts: Facts | None = None
    calls: dict[Any, Call] = field(default_factory=dict)

    @property
    def head(self) -> Call | None:
        """What the worker is running now, if anything."""
        return next(iter(self.calls.values()), None)

    def send(self, batch: object, shard: Shard, broadcast: Any, key: int) -> None:
        """Send a shard."""
        reference = self.actor.run.remote(shard, broadcast, key)
        self.calls[reference] = Call(batch, shard, time.monotonic())

    def finish(self, reference: Any) -> Call:
        """Take a call that has its answer off the list; the next one begins only now."""
        call = self.calls.pop(reference)
        if self.head:
            self.head.started = time.monotonic()
        return call


class Crew:
    """Up to max workers, of which those that do not fit on the cluster yet stay pending."""

    def __init__(self, problem: Parcel, scaling: ScalingConfig) -> None:
        self._problem = ray.put(problem)
        self._scaling = scaling
        self._deaths = 0
        self.members: list[Member] = []

    @property
    def ready(self) -> list[Member]:
        """Those that have loaded the problem."""
        return [member for member in self.members if member.facts is not None]

    @property
    def is_enough(self) -> bool:
        """Whether min workers are ready."""
        return len(self.ready) >= self._scaling.num_workers[0]

    def recruit(self) -> None:
        """Ask Ray for all that are missing, so that its autoscaler sees the demand."""
        scaling = self._scaling
        device = "cuda" if scaling.use_gpu else "cpu"
        while len(self.members) < scaling.num_workers[1]:
            options = Worker.options(  # type: ignore[attr-defined]
                num_cpus=scaling.cpus_per_worker, num_gpus=int(scaling.use_gpu)
            )
            actor = options.remote(scaling.cpus_per_worker)
            self.members.append(Member(actor, actor.load.remote(self._problem, device)))

    def arrived(self) -> list[Any]:
        """References that have an answer, or an error; waits a tick for the first."""
        waiting = [m.loading for m in self.members if m.facts is None]
        waiting += [reference for m in self.members for reference in m.calls]
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

    def welcome(self, member: Member, facts: Facts) -> None:
        """Take note that a worker is ready."""
        member.facts = facts
        self._deaths = 0

    def lose(self, member: Member) -> None:
        """Give up a worker.

        Raises
        ------
        RunError
            If it was the fifth in a row to die while it loaded.
        """
        self.members.remove(member)
        ray.kill(member.actor)
        if member.facts is None:
            self._deaths += 1
            if self._deaths >= _DEATHS:
                raise RunError(f"{_DEATHS} workers in a row died while loading the problem")

    def close(self) -> None:
        """End all workers."""
        for member in self.members:
            ray.kill(member.actor)
        self.members = []
