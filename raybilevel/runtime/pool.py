"""The worker pool: runs a stage's shards on any number of workers that come and go.

What runs where is decided by who is ready; what is returned is not, since outputs are reduced by
shard index. So a shard may run twice, or on a worker that joined a second ago.
"""

from __future__ import annotations

from collections.abc import Callable

from raybilevel.config import ScalingConfig
from raybilevel.problems.base import Output, Stage
from raybilevel.runtime.batch import Batch, Cost
from raybilevel.runtime.crew import Crew
from raybilevel.runtime.environment import Facts
from raybilevel.runtime.pace import Pace
from raybilevel.runtime.parcel import Parcel

Tick = Callable[[int, int], None]
"""Called a few times a second with workers ready and shards left; may raise to stop."""


class Pool:
    """Between min and max workers, and the stages they run, one after the other."""

    def __init__(self, problem: Parcel, scaling: ScalingConfig, seed: int, tick: Tick) -> None:
        self._crew, self._pace = Crew(problem, scaling), Pace()
        self._seed, self._tick = seed, tick
        self._gathered = False

    @property
    def ready(self) -> int:
        """Workers that have loaded the problem."""
        return len(self._crew.ready)

    @property
    def facts(self) -> list[Facts]:
        """What the bits depend on, of each ready worker."""
        return [member.facts for member in self._crew.ready if member.facts is not None]

    def close(self) -> None:
        """End all workers."""
        self._crew.close()

    def run(self, stage: Stage) -> tuple[Output, Cost]:
        """Run all shards of a stage and reduce what they return.

        The first waits until min workers are ready; from then on it takes as few as there are.
        """
        batch = Batch(stage, self._seed, self._crew, self._pace)
        while batch.open:
            self._crew.recruit()
            self._gathered = self._gathered or self._crew.is_enough
            if self._gathered:
                batch.assign()
            for reference in self._crew.arrived():
                batch.take(reference)
            self._tick(self.ready, len(batch.open))
        return batch.tree.result(), batch.cost
