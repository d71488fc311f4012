"""Distributions of rewards whose log-partition function is known.

Every expectation under p(u) ~ p0(u) exp(eta . r(u)), r = (r1, r2_1, ..., r2_K), follows from
A(eta) = log E_{p0}[exp(eta . r)]: its gradient is E_p[r], its Hessian Cov_p(r). So a law of rewards
is all that an oracle needs to know.

Shapes: eta (1 + K,), gradient (1 + K,), Hessian (1 + K, 1 + K); A is inf where the integral
diverges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.special import logsumexp


@dataclass(frozen=True, eq=False)
class Cumulants:
    """A(eta) with its gradient E_p[r] and Hessian Cov_p(r)."""

    value: float
    mean: np.ndarray
    covariance: np.ndarray


class Law(Protocol):
    """A distribution of (r1, r2_1, ..., r2_K)."""

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Rewards (n, 1 + K) of n independent samples."""

    def cumulants(self, eta: np.ndarray) -> Cumulants:
        """Evaluate A and its derivatives at `eta`."""


@dataclass(frozen=True, eq=False)
class Discrete:
    """States with log-probabilities `log_mass` (s,) and rewards (s, 1 + K)."""

    log_mass: np.ndarray
    rewards: np.ndarray

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Rewards (n, 1 + K) of n states drawn with replacement."""
        mass = np.exp(self.log_mass)
        return self.rewards[rng.choice(len(mass), size=n, p=mass / mass.sum())]

    def cumulants(self, eta: np.ndarray) -> Cumulants:
        """Weighted sums over the states."""
        tilted = self.log_mass + self.rewards @ eta
        value = float(logsumexp(tilted))
        p = np.exp(tilted - value)
        mean = p @ self.rewards
        rest = self.rewards - mean
        return Cumulants(value, mean, (p[:, None] * rest).T @ rest)


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Rewards a_j + b_j . u - u' C_j u / 2 of u from a mixture of Gaussians with unit covariance.

    Attributes
    ----------
    a : (1 + K,), b : (1 + K, d), c : (1 + K, d, d) symmetric
        Coefficients of (r1, r2_1, ..., r2_K).
    centres : (m, d) of the mixture's components, which weigh the same.
    """

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    centres: np.ndarray

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Rewards (n, 1 + K)."""
        m, d = self.centres.shape
        u = self.centres[rng.integers(m, size=n)] + rng.standard_normal((n, d))
        return self.a + u @ self.b.T - np.einsum("ni,jik,nk->nj", u, self.c, u) / 2

    def cumulants(self, eta: np.ndarray) -> Cumulants:
        """Gaussian integrals, one a component, mixed by the law of total covariance."""
        precision = np.eye(self.centres.shape[1]) + np.tensordot(eta, self.c, 1)
        if np.linalg.eigvalsh(precision)[0] <= 0:
            return _DIVERGENT
        parts = [self._component(eta, precision, centre) for centre in self.centres]
        log_parts = np.array([part.value for part in parts]) - math.log(len(parts))
        value = float(logsumexp(log_parts))
        p = np.exp(log_parts - value)
        means = np.array([part.mean for part in parts])
        mean = p @ means
        between = (p[:, None] * (means - mean)).T @ (means - mean)
        within = np.tensordot(p, np.array([part.covariance for part in parts]), 1)
        return Cumulants(value, mean, within + between)

    def _component(self, eta: np.ndarray, precision: np.ndarray, centre: np.ndarray) -> Cumulants:
        """Integrate one Gaussian; covariances of quadratic forms by Isserlis' theorem."""
        sigma = np.linalg.inv(precision)
        pull = eta @ self.b + centre
        mu = sigma @ pull
        value = eta @ self.a + (pull @ mu - centre @ centre + np.linalg.slogdet(sigma)[1]) / 2
        spread = self.c @ sigma  # (1 + K, d, d)
        mean = self.a + self.b @ mu - (mu @ self.c @ mu + np.trace(spread, axis1=1, axis2=2)) / 2
        slope = self.b - self.c @ mu
        wobble = np.einsum("jik,lki->jl", spread, spread) / 2
        return Cumulants(float(value), mean, slope @ sigma @ slope.T + wobble)


_DIVERGENT = Cumulants(math.inf, np.full(1, np.nan), np.full((1, 1), np.nan))


@dataclass(frozen=True, eq=False)
class OneGaussian:
    """Rewards of u from N(0, 1) by any smooth `rewards`: (n,) -> (n, 1 + K).

    Integrals by the trapezoid rule on 8,001 points within 20 of zero: for smooth integrands that
    vanish at both ends it converges faster than any power, to rounding here.
    """

    rewards: Callable[[np.ndarray], np.ndarray]

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Rewards (n, 1 + K)."""
        return self.rewards(rng.standard_normal(n))

    def cumulants(self, eta: np.ndarray) -> Cumulants:
        """Weighted sums over the nodes."""
        return self._nodes.cumulants(eta)

    @cached_property
    def _nodes(self) -> Discrete:
        u = np.linspace(-20.0, 20.0, 8001)
        log_mass = -(u**2) / 2 - math.log(math.sqrt(2 * math.pi) / (u[1] - u[0]))
        return Discrete(log_mass, self.rewards(u))
