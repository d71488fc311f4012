"""What draws rows of a pool again that islands of guided paths have delivered."""

from __future__ import annotations

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.drawing.paths import shard_of
from raybilevel.problems.reward.shards import GuideIslands

Picked = tuple[tuple[int, int], ...]


def islands_of(state: Arrays, rows: np.ndarray) -> tuple[tuple[GuideIslands, ...], Picked]:
    """The islands of rows (m,) of the pool, whole, and which of their paths those are.

    None where all are of p0, as `DrawSamples` has them.
    """
    if "pool/path" not in state:
        return (), ()
    rung, island, path = (state[f"pool/{name}"] for name in ("rung", "island", "path"))
    named = [(int(rung[row]), int(island[row])) if path[row] >= 0 else None for row in rows]
    distinct = list(dict.fromkeys(one for one in named if one is not None))
    if not distinct:
        return (), ()
    places = {one: place for place, one in enumerate(distinct)}
    picked = [
        (0, -1) if one is None else (places[one], int(path[row]))
        for one, row in zip(named, rows, strict=True)
    ]
    return tuple(_island(state, *one) for one in distinct), tuple(picked)


def _island(state: Arrays, rung: int, island: int) -> GuideIslands:
    """All paths of one."""
    rows = np.flatnonzero((state["pool/rung"] == rung) & (state["pool/island"] == island))
    prompt = island // state["rungs_log_z"].shape[2]
    scales = np.tile(state["rungs_scale"][rung, prompt], (len(rows), 1))
    named = state["pool/prompt"][rows] if "pool/prompt" in state else None
    taus = tuple(state["guided_taus"].tolist())
    return GuideIslands(shard_of(state["pool/seed"][rows], scales, taus, named), len(rows))
