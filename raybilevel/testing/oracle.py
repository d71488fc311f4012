"""A reward problem whose answers are known: F, L_gamma, their gradients and their minimiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq, root

from raybilevel.testing.cumulants import Law
from raybilevel.upper.penalty import Pool
from raybilevel.upper.variables import Variable


@dataclass(frozen=True, eq=False)
class Oracle:
    """A reward problem with known answers.

    Points x are (lambda, w_1, ..., w_K), as `Estimate.gradient` is.

    Attributes
    ----------
    law : of (r1, r2_1, ..., r2_K).
    points : where gradients are compared; with light tails the gates should pass at most of them.
    sick : where they must fail.
    base : (1 + K,) lambda and weights where they are not tuned.
    lambda_ : lambda's variable, its weights being fixed; weights : the weights' variables, lambda
        being fixed. Each has an interior optimum of F, healthy or not.
    """

    name: str
    law: Law
    points: Sequence[np.ndarray]
    sick: Sequence[np.ndarray]
    base: np.ndarray
    lambda_: Variable
    weights: Sequence[Variable] = field(default=())

    def draw(self, rng: np.random.Generator, n: int) -> Pool:
        """Sample a pool of n from p0."""
        rewards = self.law.draw(rng, n)
        return Pool(rewards[:, 0].copy(), rewards[:, 1:].copy())

    def value(self, x: np.ndarray, gamma: float = math.inf) -> float:
        """F, or L_gamma, at `x`."""
        if math.isinf(gamma):
            return -float(self.law.cumulants(_eta(x)).mean[0])
        tilted, plain = (self.law.cumulants(_eta(x, g)).value for g in (gamma, math.inf))
        return -gamma * float(x[0]) * (tilted - plain)

    def gradient(self, x: np.ndarray, gamma: float = math.inf) -> np.ndarray:
        """Differentiate `value` with respect to `x`: (1 + K,)."""
        p = self.law.cumulants(_eta(x))
        if math.isinf(gamma):
            slope = -p.covariance[0, 1:] / x[0]
            return np.append(-slope @ x[1:] / x[0], slope)
        q = self.law.cumulants(_eta(x, gamma))
        gap = q.mean[1:] - p.mean[1:]
        kls = [float(_eta(x, g) @ c.mean - c.value) for g, c in ((gamma, q), (math.inf, p))]
        return np.append(gamma * (kls[0] - kls[1]), -gamma * gap)

    def ess(self, x: np.ndarray) -> float:
        """Share of effective samples in a large pool, E[w]^2 / E[w^2]; 0 where infinite."""
        once, twice = (self.law.cumulants(k * _eta(x)).value for k in (1, 2))
        return math.exp(2 * once - twice)

    def best_lambda(self, gamma: float = math.inf) -> float:
        """Minimise over lambda in its box."""

        def slope(z: float) -> float:
            return float(self.gradient(np.append(math.exp(z), self.base[1:]), gamma)[0])

        v = self.lambda_
        return math.exp(brentq(slope, math.log(v.low), math.log(v.high), xtol=1e-13))

    def best_weights(self, gamma: float = math.inf) -> np.ndarray:
        """Minimise over the weights (K,)."""
        start = np.array([v.init for v in self.weights])
        found = root(lambda w: self.gradient(np.append(self.base[0], w), gamma)[1:], start)
        return np.asarray(found.x)


def _eta(x: np.ndarray, gamma: float = math.inf) -> np.ndarray:
    return np.append(1.0 / gamma, x[1:]) / x[0]
