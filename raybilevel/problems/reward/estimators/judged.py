"""What a round's samples say."""

from __future__ import annotations

from typing import NamedTuple

from raybilevel.problems.base import Arrays, Metrics, Stop
from raybilevel.problems.reward.pool_objective import PoolPoint


class Judged(NamedTuple):
    """Where a run stands, and whether it is done.

    Attributes
    ----------
    point : where it stands, on the samples that count.
    metrics : the round's row of the history.
    stop : set where the run is done.
    onwards : what of the state is new: x, and where samples go on.
    """

    point: PoolPoint
    metrics: Metrics
    stop: Stop | None
    onwards: Arrays
