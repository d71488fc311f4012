"""A Ray cluster of several raylets on this machine, whose nodes come and go as spot nodes do."""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import Any

import psutil  # type: ignore[import-untyped]
import ray
from ray.cluster_utils import Cluster

from raybilevel.runtime.client import DRIVER_RESOURCE

HEAD = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
"""A head's options without what stands by for people and for an autoscaler."""

_PREEMPTION = 2  # Ray's DrainNodeReason for what cannot be refused


class SpotCluster:
    """A head that has no CPUs and holds the driver, and nodes beside it; joined by this process.

    Attributes
    ----------
    nodes : those that are there, the oldest first.
    """

    def __init__(self) -> None:
        head = {"num_cpus": 0, "resources": {DRIVER_RESOURCE: 1}}
        self._cluster = Cluster(initialize_head=True, head_node_args=HEAD | head)
        self.nodes: list[Any] = []
        ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR)

    @property
    def address(self) -> str:
        """The address to join it at."""
        return str(self._cluster.address)

    def add(self, cpus: int = 2, **resources: float) -> Any:
        """Add a node and wait until Ray knows it."""
        self.nodes.append(self._cluster.add_node(num_cpus=cpus, resources=resources))
        return self.nodes[-1]

    def kill(self, node: Any) -> None:
        """End a node as a spot market does: all its processes, by SIGKILL."""
        (raylet,) = node.all_processes["raylet"]
        workers = psutil.Process(raylet.process.pid).children(recursive=True)
        self.nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)
        for process in workers:
            if process.is_running():
                process.kill()

    def drain(self, node: Any, seconds: float) -> None:
        """Give notice, in GCS, that a node goes in so many seconds; it stays until it is killed."""
        client = ray._private.worker.global_worker.gcs_client
        deadline = int((time.time() + seconds) * 1000)
        accepted, why = client.drain_node(node.node_id, _PREEMPTION, "spot notice", deadline)
        assert accepted, why

    def clear(self) -> None:
        """Kill every node but the head."""
        for node in list(self.nodes):
            self.kill(node)

    def close(self) -> None:
        """Leave the cluster and end it."""
        ray.shutdown()
        self._cluster.shutdown()


def actor_pids(kind: str) -> list[int]:
    """Processes of this user's actors of a class, as Ray titles them: "WorkerActor", "Driver"."""
    pids = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        if title and title[0].startswith(f"ray::{kind}"):
            pids.append(process.pid)
    return sorted(pids)


def kill_actor(pid: int) -> None:
    """End an actor's process by SIGKILL, if it is still there."""
    if psutil.pid_exists(pid):
        os.kill(pid, signal.SIGKILL)
