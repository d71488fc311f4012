"""Whole timesteps near real-valued levels: the likeliest by the residuals' slopes, to be tried."""

from __future__ import annotations

from itertools import product

import numpy as np

from raybilevel.lower.sampling.level_lists.lists import SchedulerLists, distinct
from raybilevel.problems.schedule.teacher.shards import Sigmas
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.upper.optimisers.gauss_newton import ResidualSums

_TRIED = 8
_MOST_FREE = 12  # levels that are rounded up and down: 4,096 ways; others to the nearest


def whole_lists(
    space: SigmaSpace, lists: SchedulerLists, x: np.ndarray, sums: ResidualSums
) -> list[Sigmas]:
    """Lists of whole timesteps around the levels at values x (d,): the nearest, and the best.

    Each level goes to the timestep below or above it; which are best together, a Gauss-Newton
    model of the objective about x says, as a closest-vector problem.

    Parameters
    ----------
    sums : of residuals about x, in unit coordinates.
    """
    sigmas = np.array(space.sigmas(x))
    nearest = lists.timesteps(sigmas)
    known = lists.sigmas_at(np.arange(lists.count))
    exact = np.interp(np.log(sigmas), np.log(known), np.arange(lists.count))
    around = np.stack([np.floor(exact), np.ceil(exact)]).astype(int)
    around[:, _MOST_FREE:] = nearest[_MOST_FREE:]
    ways = {tuple(distinct(np.array(w), lists.count).tolist()) for w in product(*around.T)}
    ordered = sorted(ways, reverse=True)
    changes = sums.changes(_steps(space, known, x, np.array(ordered)))
    best = [ordered[i] for i in np.argsort(changes, kind="stable")[:_TRIED]]
    tried = dict.fromkeys([tuple(nearest.tolist()), *best])
    return [tuple(known[list(steps)].tolist()) for steps in tried]


def _steps(space: SigmaSpace, known: np.ndarray, x: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """From x to each of the ways (m, k), in unit coordinates: (m, d)."""
    u = space.inner.to_unit(x)
    return np.array([space.inner.to_unit(space.nearest(known[way])) - u for way in ways])
