"""Watching a driver: polled, so that it may die and come back between two polls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError

from raybilevel.errors import Interrupted, RunError, Starved
from raybilevel.runtime.ray_session import Signals
from raybilevel.runtime.run_status import Progress

Watch = Callable[[Progress], None]
"""Called with every answer of the driver; its rows are new ones."""

_INTERVAL = 0.2  # seconds between polls
_SIGNAL_INTERVAL = 0.1  # seconds between looks for a signal


def watch_driver(
    driver: Any,
    watch: Watch,
    signals: Signals,
    run: str = "",
    begin: Callable[[], object] | None = None,
) -> Progress:
    """Poll a driver to the end of its run; returns its last answer.

    Parameters
    ----------
    run, begin : of a driver that is shared, the path of the run's directory, and what is called
        where the driver has not that run, as after its restart.

    Raises
    ------
    Interrupted
        Where a signal came.
    RunError
        If the driver is dead for good.
    """
    round_ = 0
    while True:
        progress = wait_for_answer(driver.poll.remote(round_), signals)
        if progress is not None and begin is not None and progress.run != run:
            begin()
        elif progress is not None:
            watch(progress)
            round_ = max(round_, progress.round)
            if progress.finished:
                return progress
        time.sleep(_INTERVAL)


def wait_for_answer(reference: Any, signals: Signals) -> Any:
    """A driver's answer; None while Ray restarts it. Raises what `watch_driver` does."""
    while not ray.wait([reference], timeout=_SIGNAL_INTERVAL)[0]:
        _check(signals)
    _check(signals)
    try:
        return ray.get(reference)
    except ActorUnavailableError:
        return None
    except ActorDiedError as error:
        raise RunError(f"the driver died too often, or was killed from outside: {error}") from error


def _check(signals: Signals) -> None:
    if signals.received:
        raise Interrupted


def raise_error(last: Progress) -> None:
    """Raise what ended a run, if it did not end by itself."""
    if last.error is not None:
        if not isinstance(last.error, (Starved, Interrupted)):  # which are nobody's mistake
            last.error.add_note(last.details)
        raise last.error
