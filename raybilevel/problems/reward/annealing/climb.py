"""A round that moves a pool's samples to the next rung."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.reward.annealing.plan import LadderPlan
from raybilevel.problems.reward.annealing.rung import Rung, next_rung
from raybilevel.problems.reward.drawing.lineages import lineages_of
from raybilevel.problems.reward.pool_plan import counted, grown
from raybilevel.problems.reward.shards import MoveParticles
from raybilevel.problems.seeds import sample_seeds
from raybilevel.upper.prompts import Prompts

_REWARDS = ("pool/upper", "pool/held_out", "pool/lower.")


def next_state(
    state: Arrays, plan: LadderPlan, prompts: Prompts, lower: np.ndarray
) -> Generator[Stage, Output, Arrays]:
    """Draw the next rung: arguments as for `next_rung`; returns the state with it."""
    rung = next_rung(state, plan, prompts, lower)
    count = len(rung.chains)
    parts = np.split(np.arange(count), range(plan.shard_size, count, plan.shard_size))
    drawn = yield Stage(tuple(_shards(state, plan, rung, parts)))
    states = np.concatenate([np.tile(part, plan.moves) for part in parts])
    rows = drawn.rows | {
        "pool/rung": np.concatenate([_rungs(state, len(part), plan) for part in parts]),
        "pool/island": state["pool/island"][rung.chains[states]],
        "pool/parent": _parents(len(state["pool/seed"]), plan, rung, parts),
        "pool/rho": rung.rhos[rung.of[states]],
    }
    acceptance = _acceptance(state, rung.of[states], rows["pool/accepted"])
    return _with(grown(state, rows) | counted(state, drawn.sums), rung, acceptance)


def _shards(
    state: Arrays, plan: LadderPlan, rung: Rung, parts: Sequence[np.ndarray]
) -> list[MoveParticles]:
    """Of some chains each; seeds are those of the rows that they become."""
    first, shards = len(state["pool/seed"]), []
    columns = [column for column in state if column.startswith(_REWARDS)]
    for part in parts:
        chains, of = rung.chains[part], rung.of[part]
        last = first + len(part) * plan.moves
        seeds = sample_seeds(state["seed_base"], first, last)
        prompts = state["pool/prompt"][chains].tolist() if "pool/prompt" in state else None
        shards.append(
            MoveParticles(
                lineages_of(state, chains),
                {c.removeprefix("pool/"): tuple(state[c][chains].tolist()) for c in columns},
                tuple(map(tuple, rung.scales[of].tolist())),
                tuple(rung.rhos[of].tolist()),
                tuple(tuple(seeds[i : i + len(part)]) for i in range(0, len(seeds), len(part))),
                None if prompts is None else tuple(prompts),
            )
        )
        first = last
    return shards


def _rungs(state: Arrays, chains: int, plan: LadderPlan) -> np.ndarray:
    """The new rung for the last states of some chains; none for those on the way."""
    found = np.full((plan.moves, chains), -1)
    found[-plan.kept :] = len(state["rungs_scale"])
    return found.ravel()


def _parents(first: int, plan: LadderPlan, rung: Rung, parts: Sequence[np.ndarray]) -> np.ndarray:
    """The row that each drawn row comes from: its chain's before, or where that began."""
    found = []
    for part in parts:
        later = len(part) * (plan.moves - 1)
        found += [rung.chains[part], np.arange(first, first + later)]
        first += later + len(part)
    return np.concatenate(found)


def _acceptance(state: Arrays, of: np.ndarray, accepted: np.ndarray) -> np.ndarray:
    """(C,) share of accepted moves; of a prompt that did not move what it was before."""
    before = state["rungs_acceptance"][-1]
    moves = np.bincount(of, minlength=len(before))
    hits = np.bincount(of, weights=accepted, minlength=len(before))
    return np.where(moves > 0, hits / np.maximum(moves, 1), before)


def _with(state: Arrays, rung: Rung, acceptance: np.ndarray) -> Arrays:
    """The state with a rung that was drawn."""
    new = {
        "rungs_scale": rung.scales,
        "rungs_log_z": rung.log_z,
        "rungs_rho": rung.rhos,
        "rungs_tilt_sd": rung.tilt_sds,
        "rungs_acceptance": acceptance,
    }
    return {**state, **{name: np.concatenate([state[name], a[None]]) for name, a in new.items()}}
