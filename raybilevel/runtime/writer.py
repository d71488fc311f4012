"""Writing beside the work, to storage that may be away for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from raybilevel.errors import StorageError

T = TypeVar("T")

Say = Callable[[str], None]
"""Takes a sentence for the user."""

_FIRST, _LONGEST = 1.0, 10.0  # seconds between two tries


def retry(action: Callable[[], T], limit_s: float, say: Say) -> T:
    """Try what storage may refuse, again and again for `limit_s` seconds; returns what it returns.

    Raises
    ------
    StorageError
        The last one.
    """
    until, pause = time.monotonic() + limit_s, _FIRST
    while True:
        try:
            return action()
        except StorageError as error:
            if time.monotonic() + pause > until:
                raise
            if pause == _FIRST:
                say(f"{str(error).split(';')[0]}; trying again for up to {limit_s:g} s")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST)


class Writer:
    """Writes one thing at a time, in a thread that dies with the process if storage hangs.

    Parameters
    ----------
    limit_s : seconds for which one thing may take, tries included.
    say : takes a sentence for the user.
    """

    def __init__(self, limit_s: float, say: Say) -> None:
        self._limit, self._say = limit_s, say
        self._writing: Future[None] | None = None
        self._begun = 0.0

    def write(self, action: Callable[[], None]) -> None:
        """Begin to write; what was begun before has to have ended."""
        assert self._writing is None, "one thing at a time"
        self._begun, self._writing = time.monotonic(), Future()
        threading.Thread(target=self._run, args=[self._writing, action], daemon=True).start()

    def _run(self, writing: Future[None], action: Callable[[], None]) -> None:
        try:
            retry(action, self._limit, self._say)
            writing.set_result(None)
        except Exception as error:  # for the one who waits to raise
            writing.set_exception(error)

    def wait(self) -> float:
        """Wait until all is written; returns the seconds that took.

        Raises
        ------
        StorageError
            If the storage refused, or did not answer, for too long.
        """
        started, writing = time.monotonic(), self._writing
        self._writing = None
        if writing is not None:
            left = self._begun + self._limit + _LONGEST - started  # a last try may begin late
            try:
                writing.result(max(left, 0.0))
            except TimeoutError:
                raise StorageError(
                    f"the storage has not answered for {self._limit:g} s; look after it, or give "
                    "another run.storage_path"
                ) from None
        return time.monotonic() - started
