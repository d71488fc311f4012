"""Which stratum of guided paths comes next, and when there are enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from raybilevel.problems.base import Arrays, Status, Stop
from raybilevel.problems.reward.convergence import StopReason, endings, joined_stop
from raybilevel.problems.reward.pool_plan import PoolPlan
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.upper.bisection import farthest
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts, TiltedWithin

_REACH = 0.5
"""Effective paths where a stratum is drawn, over those that gates ask for: just beyond what can be
believed, so that this comes within."""

_TOO_FAR = (StopReason.FRONTIER, StopReason.NOWHERE)
_UNFINISHED = (*_TOO_FAR, StopReason.FLAT)


def next_scales(
    pool: Pool, prompts: Prompts, last: np.ndarray, towards: np.ndarray, asked: float
) -> np.ndarray:
    """The s (C, K) of the next stratum: from the last one's as far as paths lead.

    Parameters
    ----------
    pool : the paths that there are; prompts : which prompt each is of.
    last, towards : (C, K), of the last stratum, and where one is wanted.
    asked : effective paths that gates ask for.
    """

    def enough(step: np.ndarray) -> np.ndarray:
        scales = last + step * (towards - last)
        tilt = np.sum(pool.lower * scales[prompts.of], 1)
        return np.asarray(TiltedWithin(prompts, tilt, pool.base).ess >= _REACH * asked)

    return np.asarray(last + farthest(enough, np.array(1.0)) * (towards - last))


def stop_of_strata(solution: PoolSolution, plan: PoolPlan) -> Stop | None:
    """Why to end with the paths that there are; None where more should be drawn."""
    found = endings(solution)
    settled = all(ending.reason not in _UNFINISHED for ending in found.values())
    if solution.n < plan.size or (solution.n < plan.limit and not settled):
        return None
    stop = joined_stop(found, plan.remedy)
    if any(ending.reason in _TOO_FAR for ending in found.values()):
        reason = f"{stop.reason}; another run with guided_resampling: true may lead farther"
        return replace(stop, reason=reason)
    return stop


def stop_without_gradient(state: Arrays, counted: str, names: Sequence[str]) -> Stop | None:
    """The end of a run where a lower reward's gradient is no finite number; None where all are.

    Parameters
    ----------
    counted : the key of samples (T, rewards) without one; names : of the rewards.
    """
    lost = state.get(counted)
    if lost is None or not lost.any():
        return None
    step, reward = np.argwhere(lost)[0]
    return Stop(
        Status.STOPPED,
        f"the gradient of reward '{names[reward]}' is not finite for {lost[step, reward]} "
        f"samples at the noise level where alphas_cumprod is "
        f"{state['guided_alphas_cumprod'][step]:.3g}; give a reward that has one everywhere, or "
        "estimator: annealed",
    )
