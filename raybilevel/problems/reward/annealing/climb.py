"""A round that moves a pool's samples: to the next rung, or further on it."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.reward.annealing.plan import LadderPlan
from raybilevel.problems.reward.annealing.rung import Rung
from raybilevel.problems.reward.annealing.rungs import counting_rows
from raybilevel.problems.reward.drawing.lineages import moves_of
from raybilevel.problems.reward.pool_plan import counted, grown
from raybilevel.problems.reward.shards import MoveParticles
from raybilevel.problems.seeds import sample_seeds


def is_on_its_way(state: Arrays) -> bool:
    """Whether moves of the last rung are left."""
    return int(state["rungs_left"]) > 0


def next_state(
    state: Arrays, plan: LadderPlan, rung: Rung | None = None
) -> Generator[Stage, Output, Arrays]:
    """Move chains `plan.moves` times.

    Parameters
    ----------
    rung : where to, of the samples that count; None to go on with the last.
    """
    if rung is None:
        chains = _last(state, plan)
    else:
        state, chains = _with(state, rung), counting_rows(state)[rung.chains]
    parts = _parts(plan, len(chains))
    drawn = yield Stage(tuple(_shards(state, plan, chains, parts)))
    states = np.concatenate([np.tile(part, plan.moves) for part in parts])
    numbers = _numbers(state, plan)
    rows = drawn.rows | {
        "pool/rung": np.concatenate([np.repeat(numbers, len(part)) for part in parts]),
        "pool/island": state["pool/island"][chains[states]],
        "pool/parent": _parents(len(state["pool/seed"]), plan, chains, parts),
        "pool/rho": _rhos_of(state, chains[states]),
    }
    return _after(grown(state, rows) | counted(state, drawn.sums), len(states))


def _with(state: Arrays, rung: Rung) -> Arrays:
    """The state with a rung of which nothing is drawn."""
    new = {
        "rungs_scale": rung.scales,
        "rungs_log_z": rung.log_z,
        "rungs_rho": rung.rhos,
        "rungs_tilt_sd": rung.tilt_sds,
        "rungs_acceptance": state["rungs_acceptance"][-1],
    }
    added = {name: np.concatenate([state[name], a[None]]) for name, a in new.items()}
    counts = {"moves": rung.moves, "left": rung.moves, "apart": rung.apart}
    counts["chains"] = len(rung.chains)
    return {**state, **added, **{f"rungs_{name}": np.array(n) for name, n in counts.items()}}


def _last(state: Arrays, plan: LadderPlan) -> np.ndarray:
    """The row (m,) that each chain is at."""
    count = int(state["rungs_chains"])
    found, first = [], len(state["pool/seed"]) - plan.moves * count
    for part in _parts(plan, count):
        first += plan.moves * len(part)
        found.append(np.arange(first - len(part), first))
    return np.concatenate(found)


def _parts(plan: LadderPlan, count: int) -> list[np.ndarray]:
    """Which chains each shard moves."""
    return np.split(np.arange(count), range(plan.shard_size, count, plan.shard_size))


def _prompts(state: Arrays, plan: LadderPlan, rows: np.ndarray) -> np.ndarray:
    """The prompt of some rows, by its place."""
    return np.asarray(state["pool/island"][rows] // plan.islands)


def _rhos_of(state: Arrays, rows: np.ndarray) -> np.ndarray:
    """(m,) how far some rows are moved: as their islands are."""
    return np.asarray(state["rungs_rho"][-1].ravel()[state["pool/island"][rows]])


def _shards(
    state: Arrays, plan: LadderPlan, chains: np.ndarray, parts: Sequence[np.ndarray]
) -> list[MoveParticles]:
    """Of some chains each; seeds are those of the rows that they become."""
    first, shards = len(state["pool/seed"]), []
    for part in parts:
        rows, of = chains[part], _prompts(state, plan, chains[part])
        last = first + len(part) * plan.moves
        seeds = sample_seeds(state["seed_base"], first, last)
        moves = [seeds[i : i + len(part)] for i in range(0, len(seeds), len(part))]
        scales, rhos = state["rungs_scale"][-1][of], _rhos_of(state, rows)
        shards.append(moves_of(state, rows, scales, rhos, moves))
        first = last
    return shards


def _numbers(state: Arrays, plan: LadderPlan) -> np.ndarray:
    """(moves,) the rung for states that count, in the last half of its moves; -1 for others."""
    moves, left, apart = (int(state[f"rungs_{name}"]) for name in ("moves", "left", "apart"))
    number = moves - left + 1 + np.arange(plan.moves)
    counts = (number > moves // 2) & (number % apart == 0)
    return np.where(counts, len(state["rungs_scale"]) - 1, -1)


def _parents(
    first: int, plan: LadderPlan, chains: np.ndarray, parts: Sequence[np.ndarray]
) -> np.ndarray:
    """The row that each drawn row comes from: its chain's before, or where that began."""
    found = []
    for part in parts:
        later = len(part) * (plan.moves - 1)
        found += [chains[part], np.arange(first, first + later)]
        first += later + len(part)
    return np.concatenate(found)


def _after(state: Arrays, new: int) -> Arrays:
    """The state once its last rows are drawn: what is left, and how many moves were accepted."""
    of, before = state["pool/island"][-new:], state["rungs_acceptance"]
    moves = np.bincount(of, minlength=before[-1].size)
    hits = np.bincount(of, state["pool/accepted"][-new:], before[-1].size)
    last = np.where(moves > 0, hits / np.maximum(moves, 1), before[-1].ravel())
    acceptance = np.append(before[:-1], last.reshape(before[-1:].shape), axis=0)
    left = state["rungs_left"] - new // int(state["rungs_chains"])
    return {**state, "rungs_acceptance": acceptance, "rungs_left": np.asarray(left)}
