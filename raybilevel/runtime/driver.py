"""The driver actor: plans, reduces, steps x, checkpoints. Owns no GPU and holds no model.

It begins from its `__init__`, from the last checkpoint if there is one, so that Ray can restart it
anywhere; and it is polled, never awaited, so that whoever watches it may come and go.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import ray

from raybilevel.errors import InputError, Interrupted, RunError, StorageError
from raybilevel.runtime.rounds import Row
from raybilevel.runtime.run_controller import Board, Life, Order
from raybilevel.runtime.serialization import Parcel
from raybilevel.runtime.storage import FAILED, RunDirectory
from raybilevel.runtime.threads import fix_threads

NAMESPACE = "raybilevel"

_LAST_WORD = 60.0  # seconds for which a detached driver that is done may be asked how it ended


@dataclass(frozen=True)
class Progress:
    """What a driver says when it is polled.

    Attributes
    ----------
    rows : the history's rows after the round asked for.
    round : rounds that are done.
    shards_left, workers : of the stage that is running.
    seconds_left : None where it cannot be told.
    notes : sentences for the user, of this life of the driver.
    finished : whether the run is over.
    error, details : what ended it, if it did not end by itself, and its traceback.
    """

    rows: list[Row]
    round: int
    shards_left: int
    workers: int
    seconds_left: float | None
    notes: list[str]
    finished: bool
    error: Exception | None
    details: str


@ray.remote(num_cpus=0, max_restarts=20, max_concurrency=4)
class Driver:
    """Runs one run in a thread of its own."""

    def __init__(self, detached: bool, search_path: tuple[str, ...], *pieces: bytes) -> None:
        fix_threads(1)
        self._detached = detached
        # opened where what goes wrong can be told
        self._order = Parcel(b"".join(pieces), search_path)
        self._board = Board()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def poll(self, after: int = 0) -> Progress:
        """How the run stands, with the history's rows after round `after`."""
        b = self._board
        rows = [row for row in b.rows if row["training_iteration"] > after]
        return Progress(
            rows=rows,
            round=int(b.rows[-1]["training_iteration"]) if b.rows else 0,
            shards_left=b.shards_left,
            workers=b.workers,
            seconds_left=b.seconds_left,
            notes=list(b.notes),
            finished=b.finished,
            error=b.error,
            details=b.details,
        )

    def stop(self) -> None:
        """Stop at once; the last checkpoint stays."""
        self._stop.set()

    def _live(self) -> None:
        try:
            order: Order = self._order.open()
            back = ray.get_runtime_context().was_current_actor_reconstructed
            patience = order.run.storage_timeout_s if back else 0.0
            with self._leaving_word(order):
                Life(order, self._board, self._stop, patience).live()
        except Exception as error:  # whatever ended the run is for the one who polls to tell
            self._board.error = _portable(error)
            self._board.details = traceback.format_exc()
        self._board.finished = True
        if self._detached:
            self._leave()

    @contextmanager
    def _leaving_word(self, order: Order) -> Iterator[None]:
        """Write what ended a detached run to where somebody will look for it in the morning."""
        try:
            yield
        except Exception as error:
            if self._detached and not isinstance(error, Interrupted):
                words = f"{error}\n\n{traceback.format_exc()}"
                with suppress(StorageError):
                    RunDirectory(order.run.storage_path, order.name).write(FAILED, words.encode())
            raise

    def _leave(self) -> None:
        """Make room on the cluster where nobody comes for the last word."""
        time.sleep(_LAST_WORD)
        ray.kill(ray.get_runtime_context().current_actor)


def _portable(error: Exception) -> Exception:
    """The error as a class that every process can unpickle."""
    if isinstance(error, (InputError, RunError)):
        return error.with_traceback(None)
    return RunError(f"the driver failed with {type(error).__name__}: {error}")
