"""Where the particles of a pool's rows are, from the rows that they came from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from raybilevel.lower.sampling.annealing import Lineage
from raybilevel.problems.base import Arrays


def ancestry(state: Arrays, row: int) -> list[int]:
    """The rows that a row comes from, p0's first, itself last."""
    parents, found = state["pool/parent"], [int(row)]
    while parents[found[-1]] >= 0:
        found.append(int(parents[found[-1]]))
    return found[::-1]


def lineages_of(state: Arrays, rows: Iterable[int]) -> tuple[Lineage, ...]:
    """Of some rows (m,): a rejected move leaves a particle where it was."""
    return tuple(_lineage(state, ancestry(state, row)) for row in rows)


def _lineage(state: Arrays, path: list[int]) -> Lineage:
    moves = np.array([row for row in path[1:] if state["pool/accepted"][row]], dtype=np.int64)
    seeds = state["pool/seed"][[path[0], *moves]]
    return Lineage(tuple(seeds.tolist()), tuple(state["pool/rho"][moves].tolist()))
