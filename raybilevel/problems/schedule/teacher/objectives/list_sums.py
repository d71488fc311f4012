"""Sums of residuals of several numbers of steps, and what they weigh in one objective.

Legend: as in `update.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.upper.optimisers.gauss_newton import ResidualSums
from raybilevel.upper.sums import SampleSums


def weights_of(means: np.ndarray) -> np.ndarray:
    """w_k (..., m) of mean squares D_k (..., m)."""
    m = means.shape[-1]
    geometric = np.prod(means ** (1 / m), axis=-1, keepdims=True)
    return np.asarray(geometric / (m * means))


@dataclass(frozen=True, eq=False)
class ListSums(SampleSums):
    """Sums over some noises of m numbers of steps; others' can be added, or taken away again.

    Attributes
    ----------
    count : noises.
    squares : (m,) of r'r.
    slopes : (m, d) of J'r.
    curvatures : (m, d, d) of J'J.
    """

    count: float
    squares: np.ndarray
    slopes: np.ndarray
    curvatures: np.ndarray

    @property
    def together(self) -> ResidualSums:
        """Of the objective, whose gradient they have."""
        weights = weights_of(self.squares / self.count)
        return ResidualSums(
            self.count,
            np.einsum("k,ki->i", weights, self.slopes),
            np.einsum("k,kij->ij", weights, self.curvatures),
        )

    def of(self, k: int) -> ResidualSums:
        """Of one number of steps."""
        return ResidualSums(self.count, self.slopes[k], self.curvatures[k])
