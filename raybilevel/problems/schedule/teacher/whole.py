"""Whole timesteps near real-valued levels: the likeliest by the residuals' slopes, to be tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import numpy as np

from raybilevel.lower.sampling.level_lists.lists import SchedulerLists, distinct
from raybilevel.problems.schedule.teacher.shards import Sigmas
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.upper.optimisers.gauss_newton import ResidualSums

_TRIED = 8
_MOST_WAYS = 1024  # of rounding up and down: of more levels one at a time


def whole_lists(
    space: SigmaSpace, lists: SchedulerLists, x: np.ndarray, k: int, sums: ResidualSums
) -> list[Sigmas]:
    """Lists of whole timesteps around the k-th list at values x (d,): the nearest, and likely ones.

    Each level goes to the timestep below or above it; which are best together, a Gauss-Newton
    model of the objective about x says, as a closest-vector problem. Of levels on a curve, as those
    of fewer steps than the most are too, and of many, those are tried in which one level goes to
    the other side.

    Parameters
    ----------
    sums : of residuals of that list about x, in unit coordinates.
    """
    sigmas = np.array(space.lists(x)[k])
    nearest = lists.timesteps(sigmas)
    known = lists.sigmas_at(np.arange(lists.count))
    exact = lists.between(sigmas)
    around = np.stack([np.floor(exact), np.ceil(exact)]).astype(int)
    are_knots = space.inner.has_knots and len(sigmas) == space.counts[-1]
    if are_knots and 2 ** len(sigmas) <= _MOST_WAYS:
        ways = _distinct(product(*around.T), lists.count)
        changes = sums.changes(_steps(space, known, x, np.array(ways)))
        ways = [ways[i] for i in np.argsort(changes, kind="stable")[:_TRIED]]
    else:
        ways = _distinct(_one_at_a_time(nearest, around), lists.count)
    tried = dict.fromkeys([tuple(nearest.tolist()), *ways])
    return [tuple(known[list(steps)].tolist()) for steps in tried]


def _distinct(ways: Iterable[Sequence[int]], count: int) -> list[tuple[int, ...]]:
    """Each way once, its timesteps all different, in an order of its own."""
    made = {tuple(distinct(np.array(way), count).tolist()) for way in ways}
    return sorted(made, reverse=True)


def _one_at_a_time(nearest: np.ndarray, around: np.ndarray) -> Iterator[list[int]]:
    for i, (below, above) in enumerate(around.T.tolist()):
        other = nearest.tolist()
        other[i] = above if other[i] == below else below
        yield other


def _steps(space: SigmaSpace, known: np.ndarray, x: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """From x to each of the ways (m, k), in unit coordinates: (m, d)."""
    u = space.inner.to_unit(x)
    return np.array([space.inner.to_unit(space.nearest(known[way])) - u for way in ways])
