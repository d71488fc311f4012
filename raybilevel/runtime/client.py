"""Starts a driver and watches it: polled, so that it may die and come back between two looks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError

from raybilevel.errors import InputError, Interrupted, RunError, Starved
from raybilevel.runtime.driver import NAMESPACE, Driver, Progress
from raybilevel.runtime.life import Order
from raybilevel.runtime.parcel import Parcel
from raybilevel.runtime.session import Signals
from raybilevel.runtime.storage import BEGUN, RunDirectory

Watch = Callable[[Progress], None]
"""Called with every answer of the driver; its rows are new ones."""

DRIVER_RESOURCE = "raybilevel_driver"
"""A custom resource of the nodes that stay: drivers go there, if any node of the cluster has it."""

_INTERVAL = 0.2  # seconds between polls
_PATIENCE = 0.1  # seconds between looks for a signal
_GRACE = 2.0  # seconds for which a driver that was just killed may keep its name


def driver_name(order: Order) -> str:
    """The name that the run's driver goes by on its cluster."""
    return f"driver of {order.run.storage_path}/{order.name}"


def drive(order: Order, watch: Watch) -> None:
    """Run to the end, showing `watch` how it goes.

    Raises
    ------
    Interrupted
        On Ctrl-C or SIGTERM, within 2 seconds: driver and workers are gone, checkpoints stay.
    RunError, InputError
        What ended the run, if it did not end by itself.
    """
    _announce(order)
    driver = _start(order)
    try:
        with Signals() as signals:
            last = _watch(driver, watch, signals)
    except Interrupted:
        where = f"{order.run.storage_path}/{order.name}"
        raise Interrupted(
            f"interrupted; what is checkpointed stays: go on with --resume, or in Python with "
            f"BilevelTuner.restore('{where}').fit()"
        ) from None
    finally:
        ray.kill(driver)  # its workers go with it
    if last.error is not None:
        if not isinstance(last.error, Starved):  # which is nobody's mistake
            last.error.add_note(last.details)
        raise last.error


def _announce(order: Order) -> None:
    """Say in the run directory which driver it has, and where."""
    cluster = ray.get_runtime_context().gcs_address
    words = {"driver": driver_name(order), "namespace": NAMESPACE, "cluster": cluster}
    directory = RunDirectory(order.run.storage_path, order.name)
    directory.write(BEGUN, json.dumps(words).encode())


def _start(order: Order) -> Any:
    options = {"name": driver_name(order), "namespace": NAMESPACE, "resources": _place()}
    actor = Driver.options(**options)  # type: ignore[attr-defined]  # what ray.remote adds
    until = time.monotonic() + _GRACE
    while True:
        try:
            return actor.remote(Parcel.pack(order))
        except ValueError as error:  # the name is taken
            if time.monotonic() > until:
                raise InputError(
                    f"the run {order.run.storage_path}/{order.name} is going on already on this "
                    "cluster; wait for its end, stop it, or give another run.name"
                ) from error
        time.sleep(_PATIENCE)


def _place() -> dict[str, float]:
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
