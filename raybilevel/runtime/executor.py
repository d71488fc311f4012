"""The worker pool: runs a stage's shards on any number of workers that come and go.

What runs where is decided by who is ready; what is returned is not, since outputs are reduced by
shard index. So a shard may run twice, or on a worker that joined a second ago.
"""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from typing import Protocol

from raybilevel.config.settings import ScalingConfig
from raybilevel.errors import Starved
from raybilevel.problems.base import Output
from raybilevel.runtime.environment import Facts
from raybilevel.runtime.numbering import NumberedStage
from raybilevel.runtime.serialization import Parcel
from raybilevel.runtime.shard_scheduler import Batch
from raybilevel.runtime.stragglers import Pace
from raybilevel.runtime.worker_group import Crew


class Watch(Protocol):
    """Whom a pool tells how it is getting on."""

    def tick(self, workers: int, left: int) -> None:
        """Called a few times a second with workers ready and shards left; may raise to stop."""

    def say(self, sentence: str) -> None:
        """Called with what the user should read."""


Costs = dict[str, float]
"""What a stage cost beyond its own NFE, by the ledger's names."""

_PATIENCE = 10.0  # seconds with too few workers, after which the user is told
_REST = 60.0  # seconds without a stage, after which the workers are given back


class Pool:
    """Between min and max workers, and the stages they run, one after the other.

    Parameters
    ----------
    rest : seconds without a stage, after which the workers are given back to the cluster.
    """

    def __init__(
        self, problem: Parcel, scaling: ScalingConfig, seed: int, watch: Watch, rest: float = _REST
    ) -> None:
        self._crew, self._pace = Crew(problem, scaling, watch.say), Pace()
        self._scaling, self._seed, self._watch = scaling, seed, watch
        self._rest, self._timer = rest, threading.Timer(rest, lambda: None)
        self._lock, self._stages = threading.Lock(), 0
        self._gathered = False
        self._short_since: float | None = None
        self._told = False

    @property
    def ready(self) -> int:
        """Workers that have loaded the problem."""
        return len(self._crew.ready)

    @property
    def facts(self) -> list[Facts]:
        """What the bits depend on, of each kind of worker that was ever ready."""
        return self._crew.kinds

    def close(self) -> None:
        """End all workers."""
        self._timer.cancel()
        with self._lock:
            self._crew.close()

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
        self._timer = threading.Timer(self._rest, self._give_back, [self._stages])
        self._timer.daemon = True
        self._timer.start()
        return output, costs

    def _run(self, stage: NumberedStage) -> tuple[Output, Costs]:
        batch = Batch(stage, self._seed, self._crew, self._pace)
        output = None
        while output is None:
            while batch.left or batch.additions:
                self._step(batch)
            output = batch.result()
        return output, asdict(batch.cost) | asdict(self._crew.take_changes())

    def _step(self, batch: Batch) -> None:
        self._crew.recruit()
        self._crew.heed_drains()
        self._count()
        if self._gathered:
            batch.assign()
        for reference in self._crew.arrived(batch.additions):
            batch.take(reference)
        self._watch.tick(self.ready, batch.left)

    def _count(self) -> None:
        """Whether there are workers enough; and for how long there were not."""
        now = time.monotonic()
        if not self._crew.missing:
            self._gathered, self._short_since, self._told = True, None, False
            return
        self._short_since = self._short_since or now
        short, limit = now - self._short_since, self._scaling.min_workers_timeout_s
        there = f"{self.ready} of at least {self._scaling.num_workers[0]} workers are there"
        if short > limit:
            raise Starved(f"{there} after scaling.min_workers_timeout_s, {limit:g} s")
        if short > _PATIENCE and not self._told:
            self._told = True
            doing = "going on with these" if self._gathered and self.ready else "waiting"
            self._watch.say(f"{there}; {doing}, for up to {limit:g} s until the others come")

    def _give_back(self, stages: int) -> None:
        """Let the cluster have the workers while the driver alone is busy, after so many stages."""
        with self._lock:
            if stages == self._stages:
                self._watch.say(
                    f"{self.ready} idle workers are given back until there is work for them"
                )
                self._crew.close()
