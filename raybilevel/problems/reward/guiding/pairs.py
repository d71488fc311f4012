"""What a state knows of pairs of guided paths, of p_x and of p_{x,gamma}."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.drawing.paths import paths_of
from raybilevel.upper.guidance.unweighted import PathsAlone
from raybilevel.upper.prompts import Prompts


def columns(lower: Sequence[str]) -> Arrays:
    """What a state has beside its pool: of every path of p_{x,gamma} the rewards and the KL."""
    named = ("upper", *(f"lower.{name}" for name in lower), "kl")
    return {f"penalised/{name}": np.empty(0) for name in named}


def last_rows(state: Arrays) -> np.ndarray:
    """Rows (m,) of the pool that the last round drew."""
    return np.flatnonzero(state["pool/stratum"] == len(state["guided_scales"]) - 1)


def last_pairs(
    state: Arrays, prompts: Prompts, lower: Sequence[str]
) -> tuple[PathsAlone, PathsAlone]:
    """The last round's paths of p_x, and of p_{x,gamma}.

    Parameters
    ----------
    prompts : which prompt each row of the pool is of.
    lower : names of the lower rewards.
    """
    rows = last_rows(state)
    kl = paths_of(state, prompts).own_kl[rows]
    plain = {name.removeprefix("pool/"): state[name][rows] for name in state if _told(name)}
    penalised = {name: state[f"penalised/{name}"][-len(rows) :] for name in plain}
    penalised_kl = state["penalised/kl"][-len(rows) :]
    return _alone(plain, lower, kl), _alone(penalised, lower, penalised_kl)


def _told(name: str) -> bool:
    return name == "pool/upper" or name.startswith("pool/lower.")


def _alone(rows: Arrays, lower: Sequence[str], kl: np.ndarray) -> PathsAlone:
    return PathsAlone(rows["upper"], np.column_stack([rows[f"lower.{n}"] for n in lower]), kl)
