"""What a run needs of whatever hears of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Row = dict[str, float | int]
"""A row of the history, with Tune's column names where Tune has one."""


class Listener(Protocol):
    """Hears of a run in its driver, in a thread of its own; sent there before it hears anything.

    Attributes
    ----------
    name : what the user calls it.
    """

    name: str

    def __call__(self, row: Row) -> None:
        """Take a row; after a driver's death those since its last checkpoint come again."""

    def close(self, fine: bool) -> None:
        """Take note that the run has ended, by itself or not."""


@dataclass
class Plain:
    """A user's callable."""

    name: str
    function: Callable[[dict[str, float | int]], Any]

    def __call__(self, row: Row) -> None:
        """Call it with a dict of its own."""
        self.function(dict(row))

    def close(self, fine: bool) -> None:
        """Nothing to close."""
