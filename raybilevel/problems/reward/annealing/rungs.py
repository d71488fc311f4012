"""The rungs of a state: which samples are of which, and what their islands say of Z."""

from __future__ import annotations

import numpy as np

from raybilevel.problems.base import Arrays, Metrics
from raybilevel.problems.reward.annealing.plan import LadderPlan
from raybilevel.problems.reward.drawing.paths import is_guided
from raybilevel.problems.reward.pool_plan import size_of
from raybilevel.upper.ladder.strata import Strata
from raybilevel.upper.prompts import Prompts

COLUMNS: dict[str, np.ndarray] = {
    "pool/rung": np.empty(0, np.int64),
    "pool/island": np.empty(0, np.int64),
    "pool/parent": np.empty(0, np.int64),
    "pool/accepted": np.empty(0, bool),
    "pool/rho": np.empty(0),
}
"""What rows of a pool have beside where its samples may be moved: the rung, -1 on the way there;
the island, counted prompt by prompt; the row that it was moved from, -1 of p0; whether that move
was accepted, and how far it went."""


def is_annealing(state: Arrays) -> bool:
    """Whether a state's samples are moved down a ladder already."""
    return "rungs_scale" in state


def counting_rows(state: Arrays) -> np.ndarray:
    """Rows (m,) of a pool that estimates rest on: all but states on their way to a rung.

    Where paths were guided after samples of p0 these alone, until samples are moved.
    """
    kind = "pool/stratum" if is_guided(state) else "pool/rung"
    if kind not in state:
        return np.arange(size_of(state))
    return np.flatnonzero(state[kind] >= 0)


def counting(state: Arrays) -> Arrays:
    """The state with these rows alone; itself where all of them count."""
    rows = counting_rows(state)
    if len(rows) == size_of(state):
        return state
    return {name: a[rows] if name.startswith("pool/") else a for name, a in state.items()}


def columns_of_p0(state: Arrays, rows: Arrays, plan: LadderPlan) -> Arrays:
    """Drawn rows of p0, with what they have beside: those of a prompt go to its islands by turns.

    Parameters
    ----------
    state : that they are added to.
    """
    new = len(rows["pool/seed"])
    of = np.concatenate([_prompts(state), _prompts(rows)])
    places, codes = np.unique(of, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(places)))
    turn = np.empty(len(of), np.int64)
    turn[order] = np.arange(len(of)) - starts[codes[order]]
    island = codes * plan.islands + turn % plan.islands
    return {
        **rows,
        "pool/rung": np.zeros(new, np.int64),
        "pool/island": island[-new:] if new else COLUMNS["pool/island"],
        "pool/parent": np.full(new, -1),
        "pool/accepted": np.ones(new, bool),
        "pool/rho": np.zeros(new),
    }


def _prompts(rows: Arrays) -> np.ndarray:
    return rows.get("pool/prompt", np.zeros(len(rows["pool/seed"]), np.int64))


def begin(plan: LadderPlan, prompts: int, lower: int) -> Arrays:
    """What a state has beside once it goes down: rung 0, which is p0, of so many lower rewards."""
    return {
        "rungs_scale": np.zeros((1, prompts, lower)),
        "rungs_log_z": np.zeros((1, prompts, plan.islands)),
        "rungs_rho": np.zeros((1, prompts, plan.islands)),
        "rungs_tilt_sd": np.zeros((1, prompts, plan.islands)),
        "rungs_acceptance": np.full((1, prompts, plan.islands), np.nan),
        "rungs_arrived": np.array(0),
        "rungs_left": np.array(0),
    }


def strata_of(state: Arrays, prompts: Prompts, lower: np.ndarray, plan: LadderPlan) -> Strata:
    """The rungs that a state's samples are of, with lower rewards (n, K)."""
    return Strata(
        prompts,
        state["pool/island"],
        state["pool/rung"],
        state["rungs_scale"],
        state["rungs_log_z"],
        lower,
        plan.samples_per_prompt,
    )


def row_of_rung(state: Arrays) -> Metrics:
    """What the history says of a state's last rung; nothing of a state that has none."""
    if not is_annealing(state):
        return {}
    acceptance = state["rungs_acceptance"][-1]
    return {
        "rung": float(len(state["rungs_scale"]) - 1),
        "acceptance": float(np.mean(acceptance)),
        "rho": float(np.mean(state["rungs_rho"][-1])),
    }
