"""One driver for all runs of a command, so that its workers are started once."""

from __future__ import annotations

from functools import partial
from typing import Any

import ray

from raybilevel.errors import Interrupted
from raybilevel.runtime.client import announce, how_to_resume, start_driver
from raybilevel.runtime.polling import Watch, raise_error, wait_for_answer, watch_driver
from raybilevel.runtime.ray_session import Signals
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.serialization import Serialized
from raybilevel.runtime.storage import RunDirectory


class SharedDriver:
    """A driver that plays run after run, and keeps its idle workers between two.

    The command's process owns the driver and the driver its workers: what ends the one ends the
    others. Bits are those of a driver and workers that have just begun: a worker that has loaded a
    run's problem goes on with it, any other loads it; and a process that a problem left in another
    state than it found is replaced (`ProcessState`).

    All runs have the same `scaling`, and none is detached. To be used as a context.

    Parameters
    ----------
    name : that nobody else's driver has on the cluster.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._driver: Any = None

    def __enter__(self) -> SharedDriver:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def drive(self, spec: RunSpec, watch: Watch) -> None:
        """Run to the end, as `client.drive` does, which says what is raised."""
        announce(spec, self._name)
        run = RunDirectory(spec.run.storage_path, spec.name).path
        serialized = Serialized.dump(spec)
        try:
            with Signals() as signals:
                begin = partial(self._begin, run, serialized, signals)
                begin()
                last = watch_driver(self._driver, watch, signals, run, begin)
        except Interrupted:
            self._end()
            raise Interrupted(how_to_resume(spec.run, spec.name)) from None
        raise_error(last)

    def end_workers(self) -> None:
        """Give the idle workers back to the cluster; the next run asks for new ones."""
        if self._driver is not None:
            with Signals() as signals:
                wait_for_answer(self._driver.end_workers.remote(), signals)

    def _begin(self, run: str, spec: Serialized, signals: Signals) -> None:
        """Have the driver begin a run; where it is being restarted, the next poll shows that."""
        if self._driver is None:
            self._start()
        if wait_for_answer(self._driver.begin.remote(run, spec), signals) is False:
            self._end()
            self._start()
            wait_for_answer(self._driver.begin.remote(run, spec), signals)

    def _start(self) -> None:
        self._driver = start_driver(self._name, False, "", ())

    def _end(self) -> None:
        """End the driver, and with it its workers."""
        if self._driver is not None:
            ray.kill(self._driver)
            self._driver = None
