"""The worker actor: one device, one process, one shard at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import ray

from raybilevel.imports import collector_paused
from raybilevel.problems.base import Arrays, Shard, Worker
from raybilevel.runtime.environment import Facts, hardware, make_deterministic
from raybilevel.runtime.process_state import ProcessState
from raybilevel.runtime.serialization import Serialized
from raybilevel.runtime.threads import fix_threads


@dataclass(frozen=True)
class Report:
    """What a shard's output is beside its sums, which may stay where they are.

    Attributes
    ----------
    seconds : that the shard took.
    seconds_by_part : what of them its output says.
    sums_bytes : how large its sums are.
    """

    rows: Arrays
    nfe: int
    seconds: float
    seconds_by_part: Mapping[str, float]
    sums_bytes: int


@dataclass(frozen=True)
class Loaded:
    """A worker that has loaded the problem.

    Attributes
    ----------
    facts : what its bits depend on.
    node : that it is on.
    remarks : what it found that a user should know.
    """

    facts: Facts
    node: str
    remarks: tuple[str, ...]


@ray.remote(max_restarts=0)
class WorkerActor:
    """Owns one GPU, or one slot of CPUs."""

    _worker: Worker | None

    def __init__(self, threads: int) -> None:
        fix_threads(threads)
        self._threads = threads
        self._process = ProcessState()
        self._problem = ""  # digest of the one that is loaded

    def load(self, problem: Serialized, device: str) -> Loaded | None:
        """Load the problem's model, data and metric, unless it is loaded already.

        None where this process loaded another problem before, which left it in a state that no
        other problem should find.
        """
        if self._problem != problem.digest:
            if self._problem and not self._process.reset(device):
                return None
            self._problem, self._worker = problem.digest, None  # frees its memory first
            make_deterministic(device)
            with collector_paused():
                self._worker = problem.load().worker(device)
            fix_threads(self._threads)  # loading imported torch, and may have changed its mind
        remarks = tuple(getattr(self._worker, "remarks", ()))
        return Loaded(hardware(device), ray.get_runtime_context().get_node_id(), remarks)

    @ray.method(num_returns=2)  # type: ignore[untyped-decorator]
    def run(
        self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int
    ) -> tuple[Report, Arrays]:
        """Run one shard; its sums are an object of their own."""
        started = time.monotonic()
        assert self._worker is not None, "shards are sent to who has loaded the problem"
        output = self._worker.run(shard, broadcast, key)
        seconds = time.monotonic() - started
        size = sum(a.nbytes for a in output.sums.values())
        report = Report(output.rows, output.nfe, seconds, output.seconds, size)
        return report, output.sums
