"""Callbacks in a thread of their own: slow ones hold up no run, and one that fails ends none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from raybilevel.callbacks import Listener, Row

_LAST_ROWS = 30.0  # seconds that callbacks have for what is left when the run has ended

Action = Callable[[Listener], None]


class Callbacks:
    """Calls listeners in a thread of its own, in order.

    Parameters
    ----------
    listeners : one that raises is told nothing more.
    say : takes a sentence for the user.
    """

    def __init__(self, listeners: Sequence[Listener], say: Callable[[str], None]) -> None:
        self._listeners, self._say = list(listeners), say
        self._actions: SimpleQueue[Action | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._thread.start()

    def row(self, row: Row) -> None:
        """Have a row told."""
        self._actions.put(lambda listener: listener(row))

    def close(self, fine: bool) -> None:
        """Have the run's end told, and wait for it a while."""
        self._actions.put(lambda listener: listener.close(fine))
        self._actions.put(None)
        self._thread.join(_LAST_ROWS)
        if self._thread.is_alive():
            names = ", ".join(listener.name for listener in self._listeners)
            self._say(f"callback {names}: not all rows were taken {_LAST_ROWS:g} s after the end")

    def _tell(self) -> None:
        while (action := self._actions.get()) is not None:
            for listener in tuple(self._listeners):
                self._try(listener, action)

    def _try(self, listener: Listener, action: Action) -> None:
        try:
            action(listener)
        except Exception as error:  # whatever others' code may raise
            self._listeners.remove(listener)
            text = " ".join(str(error).split())
            self._say(
                f"callback {listener.name} failed ({type(error).__name__}: {text}); the run goes "
                "on without it"
            )
