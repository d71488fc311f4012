"""Starts a run's driver on the cluster, finds it again, and watches it."""

from __future__ import annotations

import json
import time
from typing import Any

import ray
from ray.exceptions import RayError

from raybilevel.config.settings import RunConfig
from raybilevel.errors import InputError, Interrupted
from raybilevel.runtime.driver import NAMESPACE, Driver
from raybilevel.runtime.polling import Watch, raise_error, watch_driver
from raybilevel.runtime.ray_session import Signals
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.run_status import Progress
from raybilevel.runtime.serialization import Serialized
from raybilevel.runtime.storage import BEGUN, RunDirectory

DRIVER_RESOURCE = "raybilevel_driver"
"""A custom resource of the nodes that stay: drivers go there, if any node of the cluster has it."""

_NAMED = "driver of "
_PAUSE = 0.1  # seconds between looks for a name
_ANSWER = 10.0  # seconds for an answer to a single question
_GRACE = 2.0  # seconds for which a driver that was just killed may keep its name


def driver_name(storage_path: str, name: str) -> str:
    """The name that a run's driver goes by on its cluster."""
    return f"{_NAMED}{storage_path}/{name}"


def find_driver(name: str) -> Any | None:
    """The driver of that name on this cluster, if there is one."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def running_driver(name: str) -> Any | None:
    """The driver of that name, if it is not done; one that is done is ended."""
    driver = find_driver(name)
    progress = None if driver is None else ask(driver)
    if progress is None or not progress.finished:
        return driver
    ray.kill(driver)
    return None


def ask(driver: Any) -> Progress | None:
    """How a run stands; None where its driver does not answer now."""
    try:
        progress: Progress = ray.get(driver.poll.remote(0), timeout=_ANSWER)
    except RayError:
        return None
    return progress


def drive(spec: RunSpec, watch: Watch) -> None:
    """Run to the end, showing `watch` how it goes.

    Raises
    ------
    Interrupted
        On Ctrl-C or SIGTERM, within 2 seconds: driver and workers are gone, checkpoints stay. A
        detached driver goes on.
    RunError, InputError
        What ended the run, if it did not end by itself.
    """
    announce(spec, driver_name(spec.run.storage_path, spec.name))
    follow(_start(spec), spec.run, spec.name, watch)


def follow(driver: Any, run: RunConfig, name: str, watch: Watch) -> None:
    """Show `watch` how a driver is getting on, to its end; raises what `drive` does."""
    try:
        with Signals() as signals:
            last = watch_driver(driver, watch, signals)
    except Interrupted:
        raise Interrupted(how_to_resume(run, name)) from None
    finally:
        if not run.detach:  # others may be watching that one; it leaves by itself
            ray.kill(driver)  # its workers go with it
    raise_error(last)


def how_to_resume(run: RunConfig, name: str) -> str:
    """A sentence for whoever interrupted a run."""
    where = f"{run.storage_path}/{name}"
    if run.detach:
        return f"the run goes on without this process: raybilevel status {where}, or stop"
    return (
        f"interrupted; what is checkpointed stays: go on with --resume, or in Python with "
        f"BilevelTuner.restore('{where}').fit()"
    )


def announce(spec: RunSpec, driver: str) -> None:
    """Say in the run directory which driver it has, and where."""
    cluster = ray.get_runtime_context().gcs_address
    words = {"driver": driver, "cluster": cluster}
    directory = RunDirectory(spec.run.storage_path, spec.name)
    directory.write(BEGUN, json.dumps(words).encode())


def _start(spec: RunSpec) -> Any:
    serialized = Serialized.dump(spec)
    run = RunDirectory(spec.run.storage_path, spec.name).path
    name = driver_name(spec.run.storage_path, spec.name)
    return start_driver(name, spec.run.detach, run, serialized.search_path, *serialized.pieces)


def start_driver(name: str, detach: bool, run: str, *arguments: Any) -> Any:
    """Start a driver of that name; `InputError` if there is one already.

    Parameters
    ----------
    run : path of its run's directory; empty for a driver that is shared.
    arguments : what `Driver` is given beside these.
    """
    options = {"name": name, "namespace": NAMESPACE, "resources": _driver_resources()}
    if detach:
        options["lifetime"] = "detached"
    actor = Driver.options(**options)  # type: ignore[attr-defined]  # what ray.remote adds
    until = time.monotonic() + _GRACE
    while True:
        try:
            return actor.remote(detach, run, *arguments)
        except ValueError as error:  # the name is taken
            if time.monotonic() > until:
                raise InputError(
                    f"the run {name.removeprefix(_NAMED)} is going on already on this cluster; "
                    "wait for its end, stop it, or give another run.name"
                ) from error
        time.sleep(_PAUSE)


def _driver_resources() -> dict[str, float]:
    """A little of `DRIVER_RESOURCE`, where the cluster says so where drivers may be."""
    return {DRIVER_RESOURCE: 0.001} if DRIVER_RESOURCE in ray.cluster_resources() else {}
