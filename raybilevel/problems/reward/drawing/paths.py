"""What a state knows of guided paths: their strata, and what their densities are made of."""

from __future__ import annotations

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.prompts.prompt_list import prompt_places
from raybilevel.problems.reward.shards import GuidePaths
from raybilevel.upper.guidance.paths import GuidedPaths
from raybilevel.upper.prompts import Prompts


def is_guided(state: Arrays) -> bool:
    """Whether a state's samples that count are guided paths; after them some may be moved."""
    return "guided_scales" in state and "rungs_scale" not in state


def columns(lower: int) -> Arrays:
    """What rows of a pool have beside, where there are so many lower rewards.

    The stratum; `u.k` and `v.k.l`, as `GuidedPaths` has them.
    """
    places = range(lower)
    return {
        "pool/stratum": np.empty(0, np.int64),
        **{f"pool/u.{k}": np.empty(0) for k in places},
        **{f"pool/v.{k}.{m}": np.empty(0) for k in places for m in places},
    }


def rows_of(u: np.ndarray, v: np.ndarray) -> Arrays:
    """Those of drawn paths, with u (n, K) and v (n, K, K), but for the stratum."""
    places = range(u.shape[1])
    return {
        **{f"pool/u.{k}": u[:, k] for k in places},
        **{f"pool/v.{k}.{m}": v[:, k, m] for k in places for m in places},
    }


def rows_read(rows: Arrays, lower: int) -> tuple[np.ndarray, np.ndarray]:
    """What `rows_of` has written of so many lower rewards: u (n, K), v (n, K, K)."""
    places = range(lower)
    u = np.column_stack([rows[f"pool/u.{k}"] for k in places])
    v = np.stack([[rows[f"pool/v.{k}.{m}"] for m in places] for k in places])
    return u, np.moveaxis(v, 2, 0)


def begin(alphas_cumprod: np.ndarray, taus: np.ndarray, prompts: int, lower: int) -> Arrays:
    """What a state has beside once the schedule is known: stratum 0, which is p0.

    Parameters
    ----------
    alphas_cumprod, taus : (T,) of each step.
    """
    return {
        "guided_alphas_cumprod": alphas_cumprod,
        "guided_taus": taus,
        "guided_scales": np.zeros((1, prompts, lower)),
    }


def paths_of(state: Arrays, prompts: Prompts) -> GuidedPaths:
    """The strata that a state's paths are of."""
    scales = state["guided_scales"]
    u, v = rows_read(state, scales.shape[2])
    return GuidedPaths(prompts, state["pool/stratum"], scales, u, v)


def guides_of(state: Arrays, rows: np.ndarray) -> GuidePaths:
    """What draws the paths of some rows (m,) of the pool."""
    prompts = state["pool/prompt"][rows] if "pool/prompt" in state else None
    return guided(state, state["pool/seed"][rows], prompts, state["pool/stratum"][rows])


def guided(
    state: Arrays, seeds: np.ndarray, prompts: np.ndarray | None, strata: np.ndarray
) -> GuidePaths:
    """What draws paths of some seeds (m,), prompts, and strata."""
    scales = state["guided_scales"]
    of = np.zeros(len(seeds), np.int64)
    if prompts is not None:
        of = np.searchsorted(prompt_places(state, scales.shape[1]), prompts)
    return shard_of(seeds, scales[strata, of], tuple(state["guided_taus"].tolist()), prompts)


def shard_of(
    seeds: np.ndarray,
    scales: np.ndarray,
    taus: tuple[float, ...] | None,
    prompts: np.ndarray | None,
) -> GuidePaths:
    """From arrays: seeds (m,), scales (m, K), prompts (m,)."""
    return GuidePaths(
        tuple(seeds.tolist()),
        tuple(map(tuple, scales.tolist())),
        taus,
        None if prompts is None else tuple(prompts.tolist()),
    )
