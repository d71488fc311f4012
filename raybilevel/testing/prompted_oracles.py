"""Reward problems over prompts whose answers are known, for these and for prompts like them.

Of each prompt z ~ N(0, 1), the lower reward is r2 = m_c + s_c z, so that p_x(z | c) is
N(s_c / lambda, 1), and the upper reward r1 = f_c(z) and noise. Prompts differ in mean, spread,
level and optimum; those of a run are drawn from a population of a thousand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts

_POPULATION = 1000
_NODES, _MASS = np.polynomial.hermite_e.hermegauss(60)
_MASS = _MASS / _MASS.sum()

Upper = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""f(z, o): r1 of z (C, n) for prompts whose optimum, or slope, is o (C, 1)."""


@dataclass(frozen=True, eq=False)
class PromptedOracle:
    """Prompts (C,) with what is known of each.

    Attributes
    ----------
    upper : f, without a prompt's level.
    mean, spread : of r2; level : of r1; optimum : what `upper` takes; shares : summing to one.
    noise : of r1, which no other number knows of.
    """

    name: str
    upper: Upper
    mean: np.ndarray
    spread: np.ndarray
    level: np.ndarray
    optimum: np.ndarray
    shares: np.ndarray
    noise: float = 0.5

    def chosen(
        self, rng: np.random.Generator, count: int, *, weighted: bool = False
    ) -> PromptedOracle:
        """So many prompts, drawn from these with replacement, perhaps of weights that differ."""
        rows = rng.choice(len(self.mean), size=count, p=self.shares)
        shares = rng.uniform(0.5, 2.0, count) if weighted else np.ones(count)
        return replace(
            self, mean=self.mean[rows], spread=self.spread[rows], level=self.level[rows],
            optimum=self.optimum[rows], shares=shares / shares.sum(),
        )  # fmt: skip

    def draw(self, rng: np.random.Generator, each: int) -> tuple[Pool, Prompts]:
        """So many samples of each prompt from p0."""
        c = len(self.mean)
        z = rng.standard_normal((c, each))
        upper = self.level[:, None] + self.upper(z, self.optimum[:, None])
        upper += self.noise * rng.standard_normal((c, each))
        lower = self.mean[:, None] + self.spread[:, None] * z
        of = np.repeat(np.arange(c), each)
        return Pool(upper.ravel(), lower.reshape(-1, 1)), Prompts(of, self.shares)

    def value(self, lambda_: float) -> float:
        """F at lambda, the reward's weight being 1."""
        return -float(self.shares @ (self.level + self._means(lambda_)[0]))

    def gradient(self, lambda_: float) -> float:
        """Give dF / dlambda."""
        return float(self.shares @ (self._means(lambda_)[1] * self.spread)) / lambda_**2

    def kl(self, lambda_: float) -> float:
        """KL(p_x || p0) in nats, averaged over prompts."""
        return float(self.shares @ (self.spread / lambda_) ** 2) / 2

    def best_lambda(self, low: float = 0.05, high: float = 50.0) -> float:
        """Where F is least, inside these bounds."""
        found = brentq(lambda v: self.gradient(math.exp(v)), math.log(low), math.log(high))
        return math.exp(found)

    def _means(self, lambda_: float) -> tuple[np.ndarray, np.ndarray]:
        """E[f] (C,) under p_x, and its derivative in p_x's mean: E[f z] there (Stein)."""
        centre = (self.spread / lambda_)[:, None]
        f = self.upper(centre + _NODES, self.optimum[:, None])
        return f @ _MASS, f @ (_MASS * _NODES)


def _population(name: str, upper: Upper, low: float, high: float) -> PromptedOracle:
    rng = np.random.default_rng(len(name))
    n = _POPULATION
    return PromptedOracle(
        name, upper, rng.normal(0.0, 3.0, n), rng.uniform(0.6, 1.4, n), rng.normal(0.0, 0.5, n),
        rng.uniform(low, high, n), np.full(n, 1 / n),
    )  # fmt: skip


def _linear(z: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return slope * z


def _quadratic(z: np.ndarray, optimum: np.ndarray) -> np.ndarray:
    return -((z - optimum) ** 2) / 2


def _saturating(z: np.ndarray, begin: np.ndarray) -> np.ndarray:
    """Take 1 - exp(-z) at a price: far above `begin` more of z brings nothing, and costs."""
    return 1.0 - np.exp(begin - z) - z


PROMPTED_ORACLES = (  # optima at two spreads of the lower reward, where there are any
    _population("linear", _linear, -0.2, 1.0),
    _population("quadratic", _quadratic, 0.2, 0.85),
    _population("saturating", _saturating, -0.4, 0.4),
)
