"""Exponential tilting of an empirical distribution: p(u) ~ p0(u) exp(tilt(u)).

p0 is a pool of n samples, each of weight 1/n, so that a tilted expectation is a weighted mean over
the pool. Everything is float64 and in log space (Xiao et al. 2025, section 3.1, the closed form
below equation 8 of the tilted lower-level solution).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np


class Tilt(ABC):
    """What estimates and gates ask of a tilted pool of n samples."""

    @property
    @abstractmethod
    def n(self) -> int:
        """Samples in the pool."""

    @property
    @abstractmethod
    def weights(self) -> np.ndarray:
        """(n,), summing to one."""

    @property
    @abstractmethod
    def kl(self) -> float:
        """KL(p || p0) in nats."""

    @property
    @abstractmethod
    def kl_of_size(self) -> float:
        """The KL whose exponential says how many samples are wanted."""

    @abstractmethod
    def centred(self, h: np.ndarray) -> np.ndarray:
        """What is left of h (n,) without its mean where p is normalised."""

    @cached_property
    def ess(self) -> float:
        """Kish's effective sample size, in [1, n]: 1 / sum of squared weights."""
        return 1.0 / float(np.sum(self.weights**2))

    def mean(self, h: np.ndarray) -> np.ndarray:
        """E_p[h] for h (n,) or (n, k)."""
        return np.sum(self.weights * h, axis=0) if h.ndim == 1 else self.weights @ h


@dataclass(frozen=True, eq=False)
class Tilted(Tilt):
    """A pool tilted by `tilt` (n,): the reward that p is tilted by, divided by lambda."""

    tilt: np.ndarray

    @cached_property
    def _top(self) -> float:
        return float(np.max(self.tilt))

    @cached_property
    def _unnormalised(self) -> np.ndarray:
        return np.exp(self.tilt - self._top)

    @cached_property
    def n(self) -> int:
        """Samples in the pool."""
        return int(self.tilt.shape[0])

    @cached_property
    def weights(self) -> np.ndarray:
        """(n,), summing to one: softmax of the tilt."""
        return self._unnormalised / np.sum(self._unnormalised)

    @cached_property
    def log_z(self) -> float:
        """Logarithm of E_{p0}[exp(tilt)]."""
        return self._top + float(np.log(np.mean(self._unnormalised)))

    @cached_property
    def kl(self) -> float:
        """KL(p || p0) in nats: E_p[tilt] - log E_{p0}[exp(tilt)]; at most log(n)."""
        return max(float(self.mean(self.tilt)) - self.log_z, 0.0)

    @property
    def kl_of_size(self) -> float:
        """The KL whose exponential says how many samples are wanted: its own."""
        return self.kl

    def centred(self, h: np.ndarray) -> np.ndarray:
        """What is left of h (n,) without its mean under p."""
        return h - self.mean(h)
