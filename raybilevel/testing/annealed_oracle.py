"""A reward problem whose samples can be moved, and whose answers far from p0 are known.

A model is a function of noise z ~ N(0, I). What its rewards read of a sample has a law that sums or
a quadrature give to rounding: nodes with masses. At s = 1 / lambda, with Z = E_{p0}[exp(s r2)],

    F = -E_p[r1]      dF/dlambda = s^2 Cov_p(r1, r2)      KL(p || p0) = s E_p[r2] - log Z

and of n samples of p0 the self-normalised estimate of E_p[h] has the variance E_{p0}[w^2 (h - E_p
h)^2] / n with w = exp(s r2) / Z. The upper reward is r1 = base - price r2 + noise, with the price
at which F is least where p0 has the share of effective samples that is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from raybilevel.testing.annealed_models import NOISE, OfSamples, ReadReward
from raybilevel.upper.variables import Variable


@dataclass(frozen=True, eq=False)
class Answers:
    """What is true at a lambda; over prompts the averages.

    Attributes
    ----------
    value, slope : F and dF/dlambda; kl, log_z : in nats.
    value_variance, slope_variance : of one sample of p0, to be divided by how many there are.
    """

    value: float
    slope: float
    kl: float
    log_z: float
    value_variance: float
    slope_variance: float


@dataclass(frozen=True, eq=False)
class NoisyNodes:
    """The law of a prompt's samples: log-masses (m,) of nodes, and rewards there (m,)."""

    log_mass: np.ndarray
    base: np.ndarray
    lower: np.ndarray

    def log_z(self, s: float) -> float:
        """Logarithm of E_{p0}[exp(s r2)]."""
        return float(logsumexp(self.log_mass + s * self.lower))

    def heaviness(self, s: float) -> float:
        """E_{p0}[w^2]: samples of p0 that an effective one takes."""
        return math.exp(self.log_z(2 * s) - 2 * self.log_z(s))

    def masses(self, s: float) -> np.ndarray:
        """(m,) under the tilt, summing to one."""
        return np.asarray(np.exp(self.log_mass + s * self.lower - self.log_z(s)))

    def covariances(self, s: float) -> tuple[float, float]:
        """Of base and r2, and the variance of r2, under the tilt."""
        p = self.masses(s)
        b = self.lower - p @ self.lower
        return float(p @ (self.base * b)), float(p @ b**2)

    def answers(self, s: float, price: float) -> Answers:
        """At s = 1 / lambda."""
        p, q = self.masses(s), self.masses(2 * s)
        a, mean = self.base - price * self.lower, float(p @ self.lower)
        value = -float(p @ a)
        a, b = a + value, self.lower - mean
        covariance, heaviness = float(p @ (a * b)), self.heaviness(s)
        of_slope = (a * b - covariance) ** 2 + (NOISE * b) ** 2
        return Answers(
            value, s**2 * covariance, s * mean - self.log_z(s), self.log_z(s),
            heaviness * float(q @ a**2 + NOISE**2), heaviness * s**4 * float(q @ of_slope),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class AnnealedOracle:
    """A model, its rewards and what is known of them; each prompt's nodes, which count alike.

    Attributes
    ----------
    model : draws samples (N, k + 1).
    lower, base : of samples (n, k).
    samples : (log-masses (m,), nodes (m, k)) of each prompt.
    reward : makes a reward of what the model draws from one of samples, noisy or not.
    drawing : further arguments of `RewardTuning`.
    """

    name: str
    model: Callable[..., Any]
    lower: OfSamples
    base: OfSamples
    samples: Sequence[tuple[np.ndarray, np.ndarray]]
    reward: Callable[[OfSamples, bool], Any] = ReadReward
    drawing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompts(self) -> tuple[str, ...] | None:
        """Their names; None of a model without."""
        return tuple(map(str, range(len(self.samples)))) if len(self.samples) > 1 else None

    @cached_property
    def nodes(self) -> tuple[NoisyNodes, ...]:
        """Of each prompt."""
        return tuple(NoisyNodes(m, self.base(u), self.lower(u)) for m, u in self.samples)

    def effective(self, lambda_: float) -> float:
        """Share of effective samples of p0, as many of each prompt."""
        return 1 / float(np.mean([n.heaviness(1 / lambda_) for n in self.nodes]))

    def lambda_at(self, effective: float) -> float:
        """Where p0 has this share of effective samples."""

        def excess(z: float) -> float:
            return math.log(self.effective(math.exp(z)) / effective)

        return math.exp(brentq(excess, math.log(1e-3), math.log(1e3), xtol=1e-13))

    def at(self, effective: float) -> PricedOracle:
        """With the price at which F is least where p0 has this share of effective samples."""
        lambda_ = self.lambda_at(effective)
        covariance, variance = np.sum([n.covariances(1 / lambda_) for n in self.nodes], 0)
        return PricedOracle(self, lambda_, float(covariance / variance))


@dataclass(frozen=True, eq=False)
class PricedOracle:
    """An oracle whose optimum is `lambda_`: its upper reward is base - price r2 + noise."""

    oracle: AnnealedOracle
    lambda_: float
    price: float

    @property
    def lower_reward(self) -> Any:
        """r2."""
        return self.oracle.reward(self.oracle.lower, False)

    @property
    def upper_reward(self) -> Any:
        """r1."""
        base, lower = self.oracle.base, self.oracle.lower
        return self.oracle.reward(lambda u: base(u) - self.price * lower(u), True)

    @property
    def variable(self) -> Variable:
        """Lambda in a box around the optimum, which a search enters from where p0 is near."""
        best = self.lambda_
        return Variable("lambda", 4 * best, best / 4, 20 * best, "log")

    def answers(self, lambda_: float) -> Answers:
        """What is true at a lambda."""
        found = [n.answers(1 / lambda_, self.price) for n in self.oracle.nodes]
        return Answers(*(float(np.mean([vars(a)[name] for a in found])) for name in vars(found[0])))
