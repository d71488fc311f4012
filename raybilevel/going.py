"""Runs that go on elsewhere: how they stand, and how to stop one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from raybilevel.errors import InputError
from raybilevel.result import Result
from raybilevel.runtime.storage import BEGUN, RunDirectory, absolute

_GRACE = 10.0  # seconds that a driver has to stop by itself


def find(run: str) -> RunDirectory:
    """The run directory that a user means: a path, or a name below `runs/`.

    Raises
    ------
    InputError
        If there is none; lists those that are beside it.
    """
    path = run if "/" in run else f"runs/{run}"
    folder, _, name = path.rstrip("/").rpartition("/")
    directory = RunDirectory(folder if "://" in folder else absolute(folder or "/"), name)
    if directory.has(BEGUN):
        return directory
    beside = RunDirectory.at(directory.storage_path)
    known = [n for n in beside.list("") if RunDirectory(directory.storage_path, n).has(BEGUN)]
    there = f"known there: {', '.join(known)}" if known else "no runs are there"
    raise InputError(f"there is no run {directory.path}; {there}")


@contextmanager
def driver_of(directory: RunDirectory, address: str | None) -> Iterator[Any | None]:
    """The run's driver while the context lasts; None where it is gone.

    Parameters
    ----------
    address : the cluster to look on; None takes the one that the run was begun on.
    """
    from raybilevel.runtime.client import find_driver
    from raybilevel.runtime.session import ray_session

    with ExitStack() as stack:
        try:
            stack.enter_context(ray_session(address or _begun_on(directory)))
        except InputError:
            if address:
                raise
            yield None  # the cluster is gone, and the driver with it
            return
        yield find_driver(directory.storage_path, directory.name)


def _begun_on(directory: RunDirectory) -> str:
    return str(json.loads(directory.read(BEGUN))["cluster"])


def status(directory: RunDirectory, address: str | None) -> list[str]:
    """Sentences on how a run stands."""
    import ray

    from raybilevel.display import row_line, status_line

    with driver_of(directory, address) as driver:
        if driver is None:
            return [_at_rest(directory)]
        progress = ray.get(driver.poll.remote(0))
    if progress.finished:
        return [_at_rest(directory)]
    rows = [row_line(row) for row in progress.rows[-1:]]
    return [f"{directory.path} goes on: {status_line(progress)}", *rows, *progress.notes]


def stop(directory: RunDirectory, address: str | None) -> str:
    """End a run that goes on; what is checkpointed stays. Returns a sentence on where it stands.

    Raises
    ------
    InputError
        If it does not go on.
    """
    import ray

    with driver_of(directory, address) as driver:
        if driver is None:
            raise InputError(f"{directory.path} does not go on; {_at_rest(directory)}")
        driver.stop.remote()
        until = time.monotonic() + _GRACE
        while not ray.get(driver.poll.remote(0)).finished and time.monotonic() < until:
            time.sleep(0.2)
        ray.kill(driver)
    return _at_rest(directory)


def _at_rest(directory: RunDirectory) -> str:
    if directory.has("summary.json"):
        result = Result(directory)
        return f"{directory.path} has ended after round {result.summary['rounds']}: {result.reason}"
    rounds = [int(number) for number in directory.list("checkpoints")]
    return (
        f"{directory.path} stands after round {max(rounds, default=0)} and nobody works on it: go "
        "on with --resume"
    )
