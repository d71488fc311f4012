"""Nodes that Ray is told to take away: a spot notice, a scale-down, `ray drain-node`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from ray._private.state import state  # what Ray Train asks too: there is no public way

_INTERVAL = 1.0  # seconds between two looks


class Preemptions:
    """What Ray knows of the nodes that are about to go.

    Ray schedules nothing new on such a node and does not end it. Whoever takes the node away ends
    it at the deadline, with all that still runs there.
    """

    def __init__(self) -> None:
        self._deadlines: dict[str, float] = {}
        self._looked = -math.inf

    def deadlines(self) -> Mapping[str, float]:
        """By node id (hex), by the monotonic clock; inf where there is none."""
        now = time.monotonic()
        if now - self._looked >= _INTERVAL:
            self._looked = now
            ahead = now - time.time()
            found = state.get_draining_nodes()
            self._deadlines = {n: ms / 1000 + ahead if ms else math.inf for n, ms in found.items()}
        return self._deadlines
