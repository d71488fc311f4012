"""Where the particles of a pool's rows are, from the rows that they came from."""

from __future__ import annotations

import numpy as np

from raybilevel.lower.sampling.annealing import Lineage
from raybilevel.problems.base import Arrays


def ancestry(state: Arrays, row: int) -> list[int]:
    """The rows that a row comes from, p0's first, itself last."""
    parents, found = state["pool/parent"], [int(row)]
    while parents[found[-1]] >= 0:
        found.append(int(parents[found[-1]]))
    return found[::-1]


def lineages_of(state: Arrays, rows: np.ndarray) -> tuple[Lineage, ...]:
    """Of some rows (m,): a rejected move leaves a particle where it was."""
    return tuple(_lineage(state, path[path >= 0]) for path in _paths(state["pool/parent"], rows))


def _paths(parents: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(m, A) where rows come from, p0's first, themselves last; -1 before."""
    found = []
    while np.any(rows >= 0):
        found.append(rows)
        rows = np.where(rows >= 0, parents[rows], -1)
    return np.stack(found[::-1], axis=1)


def _lineage(state: Arrays, path: np.ndarray) -> Lineage:
    moves = path[1:][state["pool/accepted"][path[1:]]]
    seeds = state["pool/seed"][np.append(path[:1], moves)]
    return Lineage(tuple(seeds.tolist()), tuple(state["pool/rho"][moves].tolist()))
