"""What a worker has in flight, and how fast it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from raybilevel.runtime.execution.stage_progress import StageProgress
from raybilevel.runtime.numbering import NumberedShard

_KEPT_SLOWNESS = 0.8  # of a worker's slowness is left after a stage
_WEIGHT = 0.5  # of the newest shard in a worker's slowness


@dataclass
class ShardCall:
    """A shard that a worker was sent.

    Attributes
    ----------
    stage : what it belongs to; an answer to a stage that is over is dropped.
    started : when the worker turned to it, by the monotonic clock.
    """

    stage: StageProgress
    shard: NumberedShard
    started: float


@dataclass
class WorkerLoad:
    """A worker that is ready, as the scheduler sees it.

    Attributes
    ----------
    number : what the worker group calls it.
    slowness : what its shards take over the median, smoothed.
    leave_by : when its node goes, by the monotonic clock; None while nobody says so.
    calls : shards in flight by the call's number, in the order sent.
    """

    number: int
    slowness: float = 1.0
    leave_by: float | None = None
    calls: dict[int, ShardCall] = field(default_factory=dict)

    @property
    def current(self) -> ShardCall | None:
        """What the worker is running now, if anything."""
        return next(iter(self.calls.values()), None)

    def finish(self, call: int) -> ShardCall:
        """Take a call that has its answer off the list; the next one begins only now."""
        finished = self.calls.pop(call)
        if self.current is not None:
            self.current.started = time.monotonic()
        return finished

    def add_duration(self, ratio: float) -> None:
        """Take note of what a shard took over the median."""
        self.slowness += _WEIGHT * (ratio - self.slowness)

    def decay_slowness(self) -> None:
        """Let it try again, if it was slow, by and by."""
        self.slowness = 1 + _KEPT_SLOWNESS * (self.slowness - 1)
