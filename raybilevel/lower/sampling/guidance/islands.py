"""Guided paths that are resampled within islands on their way to p_x: sequential Monte Carlo.

A path at x_t weighs exp(s.r(x0_hat(x_t))) p0 / q, of what its noise was until then (twisted
diffusion sampler: Wu et al. 2023, arXiv 2306.17775, algorithm 1). An island that is uneven is
resampled; what it says of Z is the product of its mean weights, and unbiased (Del Moral 2004,
Feynman-Kac Formulae, section 7.4.1) wherever it is resampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from raybilevel.lower.sampling.guidance.path_groups import PathGroups


@dataclass(frozen=True)
class PathWeights:
    """What N paths weigh, but for exp(s.r) of their images.

    Attributes
    ----------
    log_ratio : (N,) log q / p0 since a path's island was resampled last.
    paid : (N,) s.r(x0_hat) there.
    log_z : (I,) log of the product of an island's mean weights, as often as it was resampled.
    ancestors : (N,) where each path's noise began, counted in its island.
    """

    log_ratio: np.ndarray
    paid: np.ndarray
    log_z: np.ndarray
    ancestors: np.ndarray

    @classmethod
    def of(cls, islands: PathGroups) -> Self:
        """Before the first step."""
        i, each = len(islands.seeds), islands.each
        return cls(np.zeros(i * each), np.zeros(i * each), np.zeros(i), np.tile(np.arange(each), i))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Of several batches of whole islands."""
        names = ("log_ratio", "paid", "log_z", "ancestors")
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def left(self, tilts: np.ndarray) -> np.ndarray:
        """(N,) log-weights since the last resampling, where s.r (N,) is `tilts`."""
        return np.asarray(tilts - self.paid - self.log_ratio)

    def resampled(
        self, islands: PathGroups, tilts: np.ndarray, step: int
    ) -> tuple[np.ndarray, PathWeights]:
        """Which paths (N,) take whose places at a step, and what is left to weigh."""
        weights = self.left(tilts)
        taken, log_z = np.arange(len(tilts)), self.log_z.copy()
        log_ratio, paid = self.log_ratio.copy(), self.paid.copy()
        for i, group, chosen in islands.uneven(weights, step):
            taken[group] = chosen
            log_z[i] += islands.at(group).log_means(weights[group])[0]
            log_ratio[group], paid[group] = 0.0, tilts[chosen]
        return taken, PathWeights(log_ratio, paid, log_z, self.ancestors[taken])

    def pushed(self, log_ratio: np.ndarray) -> PathWeights:
        """After a step whose log q / p0 (N,) is given."""
        return PathWeights(self.log_ratio + log_ratio, self.paid, self.log_z, self.ancestors)

    def at_end(
        self, islands: PathGroups, tilts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which paths (N,) are delivered, all of one weight; (I,) log Z; (N,) their ancestors.

        Parameters
        ----------
        tilts : (N,) s.r of the paths' images.
        """
        weights = self.left(tilts)
        chosen = islands.at_end(weights)
        return chosen, self.log_z + islands.log_means(weights), self.ancestors[chosen]
