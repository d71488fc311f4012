"""Connecting to Ray: the one that is there, the one at an address, or a local one of our own."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
from ray.autoscaler.v2.sdk import get_cluster_resource_state

from raybilevel.config.settings import ScalingConfig
from raybilevel.errors import InputError
from raybilevel.runtime.cluster_check import check_cluster
from raybilevel.runtime.local_ray import end_local_ray, start_local_ray

_NAMED_AFTER_A_NODE = re.compile(r"node_[0-9a-f]{56}$")


@contextmanager
def ray_session(address: str | None = None) -> Iterator[bool]:
    """Be connected to Ray for a while; gives whether it may grow, which a local one does not.

    Parameters
    ----------
    address : a cluster to join; None takes `RAY_ADDRESS`, and without it starts a local Ray that
        ends with the session. A Ray that this process has joined already is used and left alone.

    Raises
    ------
    InputError
        If no cluster answers at the address, or one that refuses our token, or one of another
        version of Ray or Python; or a local Ray cannot start.
    """
    if ray.is_initialized():
        yield autoscales()
        return
    address = address or os.environ.get("RAY_ADDRESS")
    if address in (None, "", "local"):
        start_local_ray()
        try:
            yield False
        finally:
            end_local_ray()
        return
    _join(address)
    try:
        yield autoscales()
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)  # as ray.init will
    try:
        check_cluster(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Ray cluster answers at '{address}' ({str(error).splitlines()[0]}); check "
            "--address and RAY_ADDRESS, or leave both out to start a local Ray"
        ) from error
    except RuntimeError as error:
        raise _mismatch(error, address) from error


def check_stays(address: str | None) -> None:
    """Refuse a run that is to go on after this process, on a Ray that does not.

    Raises
    ------
    InputError
        If there is neither an address nor a Ray that this process has joined.
    """
    local = (address or os.environ.get("RAY_ADDRESS")) in (None, "", "local")
    if local and not ray.is_initialized():
        raise InputError(
            "run.detach is set, but a local Ray ends with this process; join a cluster with "
            "--address, or leave run.detach out"
        )


def _mismatch(error: RuntimeError, address: str) -> Exception:
    """Ray's lines on versions that differ, as a sentence; other errors as they are."""
    if not str(error).startswith("Version mismatch"):
        return error
    theirs, ours = re.findall(r"Ray: (\S+)\s+Python: (\S+)", str(error))[:2]
    return InputError(
        f"the cluster at {address} has Ray {theirs[0]} and Python {theirs[1]}, but this process "
        f"has Ray {ours[0]} and Python {ours[1]}; install the cluster's versions here, or submit "
        "the run as a job, which runs there"
    )


def autoscales() -> bool:
    """Whether an autoscaler adds nodes to the cluster that this process has joined.

    Every cluster has an autoscaler's monitor; where it has no nodes to add, it names node types
    after the nodes that are there.
    """
    client = ray._private.worker.global_worker.gcs_client
    kinds = {node.ray_node_type_name for node in get_cluster_resource_state(client).node_states}
    status = client.internal_kv_get(DEBUG_AUTOSCALING_STATUS.encode(), None)
    report = json.loads(status or "{}").get("autoscaler_report") or {}
    kinds |= (report.get("active_nodes") or {}).keys()
    return any(kind and not _NAMED_AFTER_A_NODE.match(kind) for kind in kinds)


def check_resources(scaling: ScalingConfig, may_grow: bool) -> None:
    """Refuse to wait for what will never come.

    Raises
    ------
    InputError
        If the fewest workers do not fit on a cluster that does not grow.
    """
    if may_grow:
        return
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
    has = f"{cpus:.0f} CPUs and {gpus:.0f} GPUs on {len(nodes)} node{'s'[: len(nodes) > 1]}"
    if scaling.use_gpu and not gpus:
        raise InputError(
            f"scaling.use_gpu is set, but the cluster has no GPU ({has}); add GPU nodes or set "
            "use_gpu=False"
        )
    room = sum(workers_on(scaling, node) for node in nodes)
    if room < scaling.num_workers[0]:
        raise InputError(
            f"scaling.num_workers asks for at least {scaling.num_workers[0]} workers of "
            f"{_wanted(scaling)}, but there is room for {room} ({has}) and no "
            "autoscaler; ask for fewer, or join a larger cluster with --address"
        )


def _wanted(scaling: ScalingConfig) -> str:
    gpus = f" and {scaling.gpus:g} GPUs" if scaling.use_gpu else ""
    return f"{scaling.cpus_per_worker} CPUs{gpus}"


def workers_on(scaling: ScalingConfig, node: Mapping[str, float]) -> int:
    """How many workers fit on a node."""
    cpus = int(node.get("CPU", 0) / scaling.cpus_per_worker)
    if not scaling.use_gpu:
        return cpus
    each = int(1 / scaling.gpus_per_worker)  # a worker's fraction lies on one GPU
    return min(cpus, int(node.get("GPU", 0)) * each)


class Signals:
    """Ctrl-C and SIGTERM as a flag, while the context lasts.

    Only in the main thread, where Python allows it. To be entered after `ray.init`, which puts its
    own handler over SIGTERM's.
    """

    def __init__(self) -> None:
        self.received = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True
