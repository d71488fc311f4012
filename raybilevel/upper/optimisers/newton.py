"""Projected Newton steps in a box, inside the region where the objective can be believed.

Newton's method on the free coordinates with the two-metric projection of Bertsekas (1982, SIAM
J. Control Optim. 20, 221-246) and an Armijo line search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

NewtonObjective = Callable[[np.ndarray], "Point | None"]
"""Maps scaled coordinates (d,) to a `Point`, or to None where it cannot be believed."""

_LONGEST_STEP = 1.0
_SHORTEST_STEP = 1e-4
_NEAREST = 1e-3  # to what cannot be believed
_ARMIJO = 1e-4


@dataclass(frozen=True)
class Point:
    """An objective's value, gradient (d,) and Hessian (d, d) in scaled coordinates."""

    value: float
    gradient: np.ndarray
    hessian: np.ndarray


class Termination(Enum):
    """How a minimisation ended."""

    INTERIOR = "the gradient vanishes inside the box"
    AT_BOUND = "the gradient points out of the box"
    FRONTIER = "the next step leads where the objective cannot be believed"
    EXHAUSTED = "the iterations ran out"


@dataclass(frozen=True)
class Solution:
    """Where a minimisation ended.

    Attributes
    ----------
    z : (d,) scaled coordinates.
    point : the objective there.
    termination : why it ended.
    pinned : (d,) bool, coordinates held at a bound by the gradient.
    refused : (d,) the nearest point that could not be believed, for `FRONTIER`.
    """

    z: np.ndarray
    point: Point
    termination: Termination
    pinned: np.ndarray
    refused: np.ndarray | None


def minimise(
    objective: NewtonObjective,
    z: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    tolerance: float = 1e-8,
    max_steps: int = 100,
) -> Solution:
    """Minimise `objective` from `z`, which must be a point that can be believed.

    Parameters
    ----------
    low, high : (d,) the box in scaled coordinates, of order one.
    tolerance : the Newton step, in scaled units, at which the search has converged.
    """
    point = objective(z)
    assert point is not None, "a search must begin where it can be believed"
    reach = np.inf
    for _ in range(max_steps):
        pinned = _pinned(z, point.gradient, low, high)
        step = _newton_step(point.hessian, point.gradient, ~pinned)
        if np.max(np.abs(step), initial=0.0) < tolerance:
            termination = Termination.AT_BOUND if pinned.any() else Termination.INTERIOR
            return Solution(z, point, termination, pinned, None)
        search = _LineSearch(objective, point, _Path(z, step, low, high))
        found = search.within(reach) or search.beyond(reach)
        if found is None:
            termination = Termination.EXHAUSTED if search.refused is None else Termination.FRONTIER
            return Solution(z, point, termination, pinned, search.refused)
        z, point, reach = found
    return Solution(z, point, Termination.EXHAUSTED, pinned, None)


def _pinned(z: np.ndarray, gradient: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return ((z <= low) & (gradient > 0)) | ((z >= high) & (gradient < 0))


def _newton_step(h: np.ndarray, gradient: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Newton on the free coordinates, downhill where the curvature is not positive."""
    step = np.zeros_like(gradient)
    if free.any():
        values, vectors = np.linalg.eigh(h[np.ix_(free, free)])
        along = vectors.T @ gradient[free]
        size = np.maximum(np.abs(values), np.abs(along) / _LONGEST_STEP)
        step[free] = -vectors @ (along / np.maximum(size, np.finfo(float).tiny))
    return step


@dataclass(frozen=True, eq=False)
class _Path:
    """The projection onto the box of a ray from `z` along `step`."""

    z: np.ndarray
    step: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __call__(self, length: float) -> np.ndarray:
        return np.clip(self.z + length * self.step, self.low, self.high)


@dataclass(eq=False)
class _LineSearch:
    """Halves a path to the first point that can be believed and is lower.

    Attributes
    ----------
    refused : (d,) the nearest point that could not be believed, if there was one.
    """

    objective: NewtonObjective
    start: Point
    path: _Path
    refused: np.ndarray | None = None

    def within(self, reach: float) -> tuple[np.ndarray, Point, float] | None:
        """From no further than `reach` on: the point, and how far the next search should reach.

        Where longer steps were refused, what lies further cannot be believed there either; so the
        next search begins at this one's length, and doubles its reach where nothing is refused.
        """
        size = max(self._longest, _SHORTEST_STEP)
        length = min(1.0, reach / size)
        while length * size >= (_SHORTEST_STEP if self.refused is None else _NEAREST) / 2:
            found = self._try(length)
            if found is not None:
                return *found, 2 * reach if self.refused is None else length * size
            length /= 2
        return None

    def beyond(self, reach: float) -> tuple[np.ndarray, Point, float] | None:
        """From the whole step down to `reach`: whether what cannot be believed ends again."""
        length = 1.0
        while length * self._longest > reach:
            found = self._try(length, remember=False)
            if found is not None:
                return *found, np.inf
            length /= 2
        return None

    @property
    def _longest(self) -> float:
        return float(np.max(np.abs(self.path.step)))

    def _try(self, length: float, *, remember: bool = True) -> tuple[np.ndarray, Point] | None:
        target = self.path(length)
        found = self.objective(target)
        if found is None:
            if remember or self.refused is None:
                self.refused = target
            return None
        lower = found.value <= _enough(self.start, target - self.path.z)
        return (target, found) if lower else None


def _enough(start: Point, step: np.ndarray) -> float:
    """Armijo's bound on the value after `step`, with slack for the value's rounding."""
    rounding = 4 * np.finfo(float).eps * max(abs(start.value), 1.0)
    return start.value + _ARMIJO * float(start.gradient @ step) + rounding
