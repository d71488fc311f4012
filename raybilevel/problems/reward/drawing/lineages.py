"""Where the particles of a pool's rows are, from the rows that they came from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybilevel.lower.sampling.annealing import Lineage
from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.shards import MoveParticles

_REWARDS = ("pool/upper", "pool/held_out", "pool/lower.")


def ancestry(state: Arrays, row: int) -> list[int]:
    """The rows that a row comes from, p0's first, itself last."""
    parents, found = state["pool/parent"], [int(row)]
    while parents[found[-1]] >= 0:
        found.append(int(parents[found[-1]]))
    return found[::-1]


def lineages_of(state: Arrays, rows: np.ndarray) -> tuple[Lineage, ...]:
    """Of some rows (m,): a rejected move leaves a particle where it was."""
    return tuple(_lineage(state, path[path >= 0]) for path in _paths(state["pool/parent"], rows))


def moves_of(
    state: Arrays,
    rows: np.ndarray,
    scales: np.ndarray,
    rhos: np.ndarray,
    seeds: Sequence[Sequence[int]],
) -> MoveParticles:
    """What moves the particles of rows (m,): scales (m, K), rhos (m,), seeds (moves, m)."""
    columns = [column for column in state if column.startswith(_REWARDS)]
    prompts = state["pool/prompt"][rows].tolist() if "pool/prompt" in state else None
    return MoveParticles(
        lineages_of(state, rows),
        {c.removeprefix("pool/"): tuple(state[c][rows].tolist()) for c in columns},
        tuple(map(tuple, scales.tolist())),
        tuple(rhos.tolist()),
        tuple(map(tuple, seeds)),
        None if prompts is None else tuple(prompts),
    )


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
