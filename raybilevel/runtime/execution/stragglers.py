"""How long shards take, and so which are short, late or hung."""

from __future__ import annotations

import statistics
from collections import deque

_KNOWN = 3  # durations of a kind before anything is said about it
_KEPT = 101
_SHORT = 0.05  # seconds
_LATE = 3.0  # times the median
_LATE_FLOOR = 1.0  # seconds
_HUNG = 20.0  # times the median
_HUNG_FLOOR = 60.0  # seconds


class StragglerStatistics:
    """Median durations by kind of shard, in seconds."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}

    def add(self, kind: str, seconds: float) -> None:
        """Take note of how long a shard took."""
        self._seconds.setdefault(kind, deque(maxlen=_KEPT)).append(seconds)

    def is_short(self, kind: str) -> bool:
        """So short that a worker should have the next shard at hand when it is done."""
        median = self._median(kind)
        return median is not None and median < _SHORT

    def is_late(self, kind: str, waited: float, slowness: float = 1.0) -> bool:
        """So late, or to be so on a worker as slow as this, that an idle one should run it too.

        `slowness` is what the worker's shards take over the median.
        """
        median = self._median(kind)
        if median is None:
            return False
        to_come = slowness * median - waited
        return waited > max(_LATE * median, _LATE_FLOOR) or to_come > _LATE * max(median, _SHORT)

    def is_hung(self, kind: str, waited: float) -> bool:
        """So late that the worker should be replaced."""
        median = self._median(kind)
        return median is not None and waited > max(_HUNG * median, _HUNG_FLOOR)

    def fits(self, kind: str, seconds: float) -> bool:
        """Whether a shard may be expected to take no longer."""
        median = self._median(kind)
        return median is None or median <= seconds

    def ratio(self, kind: str, seconds: float) -> float:
        """How long a shard took over the median; what is short takes as long as what is short."""
        median = self._median(kind)
        return 1.0 if median is None else max(seconds, _SHORT) / max(median, _SHORT)

    def _median(self, kind: str) -> float | None:
        seconds = self._seconds.get(kind, ())
        return statistics.median(seconds) if len(seconds) >= _KNOWN else None
