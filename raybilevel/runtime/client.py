"""Starts a driver and watches it: polled, so that it may die and come back between two looks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError

from raybilevel.config.settings import RunConfig
from raybilevel.errors import InputError, Interrupted, RunError, Starved
from raybilevel.runtime.driver import NAMESPACE, Driver
from raybilevel.runtime.ray_session import Signals
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.run_status import Progress
from raybilevel.runtime.serialization import Serialized
from raybilevel.runtime.storage import BEGUN, RunDirectory

Watch = Callable[[Progress], None]
"""Called with every answer of the driver; its rows are new ones."""

DRIVER_RESOURCE = "raybilevel_driver"
"""A custom resource of the nodes that stay: drivers go there, if any node of the cluster has it."""

_INTERVAL = 0.2  # seconds between polls
_PATIENCE = 0.1  # seconds between looks for a signal
_ANSWER = 10.0  # seconds for an answer to a single question
_GRACE = 2.0  # seconds for which a driver that was just killed may keep its name


def driver_name(storage_path: str, name: str) -> str:
    """The name that a run's driver goes by on its cluster."""
    return f"driver of {storage_path}/{name}"


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
    _announce(spec)
    follow(_start(spec), spec.run, spec.name, watch)


def follow(driver: Any, run: RunConfig, name: str, watch: Watch) -> None:
    """Show `watch` how a driver is getting on, to its end; raises what `drive` does."""
    try:
        with Signals() as signals:
            last = _watch(driver, watch, signals)
    except Interrupted:
        raise Interrupted(_how_to_resume(run, name)) from None
    finally:
        if not run.detach:  # others may be watching that one; it leaves by itself
            ray.kill(driver)  # its workers go with it
    if last.error is not None:
        if not isinstance(last.error, (Starved, Interrupted)):  # which are nobody's mistake
            last.error.add_note(last.details)
        raise last.error


def _how_to_resume(run: RunConfig, name: str) -> str:
    where = f"{run.storage_path}/{name}"
    if run.detach:
        return f"the run goes on without this process: raybilevel status {where}, or stop"
    return (
        f"interrupted; what is checkpointed stays: go on with --resume, or in Python with "
        f"BilevelTuner.restore('{where}').fit()"
    )


def _announce(spec: RunSpec) -> None:
    """Say in the run directory which driver it has, and where."""
    name = driver_name(spec.run.storage_path, spec.name)
    cluster = ray.get_runtime_context().gcs_address
    words = {"driver": name, "cluster": cluster}
    directory = RunDirectory(spec.run.storage_path, spec.name)
    directory.write(BEGUN, json.dumps(words).encode())


def _start(spec: RunSpec) -> Any:
    name = driver_name(spec.run.storage_path, spec.name)
    options = {"name": name, "namespace": NAMESPACE, "resources": _driver_resources()}
    if spec.run.detach:
        options["lifetime"] = "detached"
    actor = Driver.options(**options)  # type: ignore[attr-defined]  # what ray.remote adds
    serialized = Serialized.dump(spec)
    until = time.monotonic() + _GRACE
    while True:
        try:
            return actor.remote(spec.run.detach, serialized.search_path, *serialized.pieces)
        except ValueError as error:  # the name is taken
            if time.monotonic() > until:
                raise InputError(
                    f"the run {spec.run.storage_path}/{spec.name} is going on already on this "
                    "cluster; wait for its end, stop it, or give another run.name"
                ) from error
        time.sleep(_PATIENCE)


def _driver_resources() -> dict[str, float]:
    """A little of `DRIVER_RESOURCE`, where the cluster says so where drivers may be."""
    return {DRIVER_RESOURCE: 0.001} if DRIVER_RESOURCE in ray.cluster_resources() else {}


def _watch(driver: Any, watch: Watch, signals: Signals) -> Progress:
    round_ = 0
    while True:
        progress = _poll(driver, round_, signals)
        if progress is not None:
            watch(progress)
            round_ = max(round_, progress.round)
            if progress.finished:
                return progress
        time.sleep(_INTERVAL)


def _poll(driver: Any, round_: int, signals: Signals) -> Progress | None:
    """The driver's answer; None while Ray brings it back to life."""
    reference = driver.poll.remote(round_)
    while not ray.wait([reference], timeout=_PATIENCE)[0]:
        _check(signals)
    _check(signals)
    try:
        progress: Progress = ray.get(reference)
    except ActorUnavailableError:
        return None
    except ActorDiedError as error:
        raise RunError(f"the driver died too often, or was killed from outside: {error}") from error
    return progress


def _check(signals: Signals) -> None:
    if signals.received:
        raise Interrupted
