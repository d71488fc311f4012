"""The worker actor: one device, one process, one shard at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import ray

from raybilevel.problems.base import Output, Shard
from raybilevel.problems.base import Worker as ProblemWorker
from raybilevel.runtime.environment import hardware, make_deterministic
from raybilevel.runtime.parcel import Parcel
from raybilevel.runtime.threads import fix_threads

Answer = tuple[Output, float]
"""A shard's output and the seconds it took."""


@ray.remote(max_restarts=0)
class Worker:
    """Owns one GPU, or one slot of CPUs."""

    _worker: ProblemWorker

    def __init__(self, threads: int) -> None:
        fix_threads(threads)
        self._threads = threads

    def load(self, problem: Parcel, device: str) -> dict[str, str | int]:
        """Load the problem's model, data and metric; returns what the bits depend on."""
        make_deterministic(device)
        self._worker = problem.open().worker(device)
        fix_threads(self._threads)  # loading imported torch, and may have changed its mind
        return hardware(device)

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Answer:
        """Run one shard."""
        started = time.monotonic()
        output = self._worker.run(shard, broadcast, key)
        return output, time.monotonic() - started
