"""Detached runs: how they stand, and how to stop one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from raybilevel.errors import InputError
from raybilevel.result import Result
from raybilevel.runtime.storage import BEGUN, FAILED, RunDirectory, absolute

_PAUSE = 0.2  # seconds between two questions
_GRACE = 10.0  # seconds that a driver has to stop by itself


def find(run: str) -> RunDirectory:
    """The run directory that a user means: a path, or a name below `runs/`.

    Raises
    ------
    InputError
        If there is none; lists those that are beside it.
    """
    path = (run if "/" in run else f"runs/{run}").rstrip("/")
    folder, slash, name = path.rpartition("/")
    directory = RunDirectory(absolute(folder or slash or "."), name)
    if directory.has(BEGUN):
        return directory
    beside = RunDirectory.at(directory.storage_path)
    known = [n for n in beside.list("") if RunDirectory(directory.storage_path, n).has(BEGUN)]
    there = f"known there: {', '.join(known)}" if known else "no runs are there"
    raise InputError(f"there is no run {directory.path}; {there}")


@contextmanager
def driver_of(directory: RunDirectory, address: str | None) -> Iterator[Any | None]:
    """The run's driver while the context lasts; None where the cluster has none.

    Parameters
    ----------
    address : the cluster to look on; None takes the one that the run was begun on.

    Raises
    ------
    InputError
        If the cluster does not answer, so that nobody can say whether the run is still there.
    """
    from raybilevel.runtime.client import find_driver
    from raybilevel.runtime.ray_session import ray_session

    begun = json.loads(directory.read(BEGUN))
    with ExitStack() as stack:
        try:
            stack.enter_context(ray_session(address or begun["cluster"]))
        except InputError as error:
            where = address or begun["cluster"]
            raise InputError(
                f"{_at_rest(directory)}, unless it goes on at {where}: {error}"
            ) from error
        yield find_driver(begun["driver"])


def status(directory: RunDirectory, address: str | None) -> list[str]:
    """Sentences on how a run stands."""
    from raybilevel.report.progress import row_line, status_line
    from raybilevel.runtime.client import ask

    if directory.has("summary.json"):
        return [_at_rest(directory)]
    try:
        with driver_of(directory, address) as driver:
            if driver is None:
                return [_at_rest(directory)]
            progress = ask(driver)
    except InputError as error:
        if address:
            raise
        return [str(error)]
    if progress is None:
        return [f"the driver of {directory.path} does not answer: it is on its way to another node"]
    if _is_over(progress, directory):
        return [_at_rest(directory)]
    rows = [row_line(row) for row in progress.rows[-1:]]
    return [f"{directory.path} goes on: {status_line(progress)}", *rows, *progress.notes]


def stop(directory: RunDirectory, address: str | None) -> str:
    """End a detached run; what is checkpointed stays. Returns a sentence on where it stands.

    Raises
    ------
    InputError
        If no driver works on it.
    """
    import ray

    from raybilevel.runtime.client import ask

    with driver_of(directory, address) as driver:
        before = None if driver is None else ask(driver)
        if driver is None or (before is not None and _is_over(before, directory)):
            raise InputError(f"{directory.path} does not go on: {_at_rest(directory)}")
        driver.stop.remote()
        if not _ends(driver):
            ray.kill(driver)
    return _at_rest(directory)


def _is_over(progress: Any, directory: RunDirectory) -> bool:
    """Whether a driver is done with a run: its command may have given it the next one."""
    return progress.finished or progress.run != directory.path


def _ends(driver: Any) -> bool:
    """Whether a driver comes to its end by itself."""
    from raybilevel.runtime.client import ask

    until = time.monotonic() + _GRACE
    while time.monotonic() < until:
        progress = ask(driver)
        if progress is not None and progress.finished:
            return True
        time.sleep(_PAUSE)
    return False


def _at_rest(directory: RunDirectory) -> str:
    if directory.has("summary.json"):
        result = Result(directory)
        return f"{directory.path} has ended after round {result.summary['rounds']}: {result.reason}"
    rounds = [int(number) for number in directory.list("checkpoints")]
    stands = f"{directory.path} stands after round {max(rounds, default=0)}"
    if directory.has(FAILED):
        return f"{stands}, where it failed: {directory.read(FAILED).decode().splitlines()[0]}"
    return f"{stands} and nobody works on it: go on with --resume"
