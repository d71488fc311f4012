"""What becomes of workers: told by the worker group, and read by the shard scheduler.

Workers and calls go by numbers: the group's for workers, the scheduler's for calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayTaskError

from raybilevel.runtime.execution.worker import Report


@dataclass(frozen=True)
class WorkerReady:
    """A worker has loaded the problem."""

    worker: int


@dataclass(frozen=True)
class WorkerPreempted:
    """A worker's node is to go: no new shards for it.

    Attributes
    ----------
    leave_by : when the node goes, in seconds of the monotonic clock; inf where nobody says when.
    """

    worker: int
    leave_by: float


@dataclass(frozen=True)
class WorkerGone:
    """A worker has died or was ended; what it had in flight will have no answer."""

    worker: int


@dataclass(frozen=True)
class ShardDone:
    """A worker has run a shard.

    Attributes
    ----------
    sums : reference to the shard's sums, which may have stayed where they are.
    """

    worker: int
    call: int
    report: Report
    sums: Any


@dataclass(frozen=True)
class ShardFailed:
    """A shard has raised; its worker goes on."""

    worker: int
    call: int
    error: RayTaskError


WorkerEvent = WorkerReady | WorkerPreempted | WorkerGone | ShardDone | ShardFailed
