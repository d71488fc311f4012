"""What draws rows of a pool again that islands of guided paths have delivered."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.drawing.paths import shard_of
from raybilevel.problems.reward.shards import GuideIslands


def are_in_islands(state: Arrays) -> bool:
    """Whether rows of a state's pool may be what islands of guided paths have delivered."""
    return "pool/path" in state


def islands_a_shard(shard_size: int, each: int) -> int:
    """Whole islands, as many as a worker draws at once; one at least."""
    return max(shard_size // each, 1)


def shards_of(
    state: Arrays, rows: np.ndarray, shard_size: int
) -> Iterator[tuple[np.ndarray, GuideIslands | None, np.ndarray]]:
    """Rows (m,) of the pool in parts, in their order: each of one shard that drew it.

    Yields a part, what drew it, and which paths of that it was; None of samples of p0. All of a
    shard is drawn again, as it was: in another batch a last digit may lead to other paths.
    """
    begun = _begun(state, rows, shard_size)
    for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(begun)) + 1):
        if not len(part):
            continue
        first, some = begun[part[0]], rows[part]
        if first < 0:
            yield some, None, np.empty(0, np.int64)
            continue
        shard = _shard(state, first, shard_size)
        island = (some - first) // shard.each
        yield some, shard, island * shard.each + state["pool/path"][some]


def _begun(state: Arrays, rows: np.ndarray, shard_size: int) -> np.ndarray:
    """(m,) the first row of the shard that drew each, -1 of p0."""
    found, rungs = np.full(len(rows), -1), state["pool/rung"]
    for i, row in enumerate(rows):
        if state["pool/path"][row] >= 0:
            first = int(np.searchsorted(rungs, rungs[row]))  # rung after rung
            each = _each(state, first)
            size = islands_a_shard(shard_size, each) * each
            found[i] = first + (row - first) // size * size
    return found


def _each(state: Arrays, first: int) -> int:
    """Paths of the island whose first row is given."""
    same = state["pool/rung"] == state["pool/rung"][first]
    return int(np.sum(same & (state["pool/island"] == state["pool/island"][first])))


def _shard(state: Arrays, first: int, shard_size: int) -> GuideIslands:
    """What drew the rows from `first` on."""
    each, rung = _each(state, first), int(state["pool/rung"][first])
    until = first + islands_a_shard(shard_size, each) * each
    rows = np.arange(first, min(until, int(np.searchsorted(state["pool/rung"], rung + 1))))
    of = state["pool/island"][rows] // state["rungs_log_z"].shape[2]
    named = state["pool/prompt"][rows] if "pool/prompt" in state else None
    taus, scales = tuple(state["guided_taus"].tolist()), state["rungs_scale"][rung][of]
    return GuideIslands(shard_of(state["pool/seed"][rows], scales, taus, named), each)
