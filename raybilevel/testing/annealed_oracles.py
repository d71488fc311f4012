"""Oracles for samples that move: 64 coordinates of noise, of which few or all matter.

for oracle in ANNEALED_ORACLES:
    priced = oracle.at(0.001)  # where p0 has one effective sample of a thousand
    problem = RewardTuning(
        model=oracle.model, prompts=oracle.prompts, lower_reward=priced.lower_reward,
        upper_reward=priced.upper_reward, lambda_=priced.variable, estimator="annealed",
    )
    compare(my_estimate(problem), priced.answers(priced.lambda_))
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import gammaln, ndtr, ndtri

from raybilevel.testing.annealed_models import DIMENSIONS, ModelOfNoise, ModelOfPrompts
from raybilevel.testing.annealed_oracle import AnnealedOracle

_REACH, _POINTS = 11.0, 2_001  # standard deviations to either side: a quadrature to rounding

_CENTRE = 4.0  # of the bowl
_REST = DIMENSIONS - 2  # of its dimensions: without the first, and the upper reward's noise

_FAR, _SD = 4.0, 0.6  # of the rarer mode
_STRATUM = 4096
_U = np.linspace(-8.0, 12.0, 60_001)

_STEPS = 24
_STATES = np.arange(_STEPS + 1)
_UP = 0.6 / (1 + _STATES / 4)

_MEANS = np.linspace(-3.0, 3.0, 10)
_SPREADS = np.linspace(0.6, 1.4, 10)[[3, 8, 0, 5, 9, 2, 7, 4, 1, 6]]


def normal_nodes(reach: float = _REACH, points: int = _POINTS) -> tuple[np.ndarray, np.ndarray]:
    """Log-masses (m,) and places (m, 1) of a standard normal number."""
    z = np.linspace(-reach, reach, points)
    log_mass = -(z**2) / 2
    return log_mass - np.log(np.sum(np.exp(log_mass))), z[:, None]


def _first(u: np.ndarray) -> np.ndarray:
    return np.asarray(u[:, 0])


def _bent(u: np.ndarray) -> np.ndarray:
    """Take a bowl: with a price of r2 one about where its mean is at the optimum."""
    return -0.3 * _last(u) ** 2


def _last(u: np.ndarray) -> np.ndarray:
    return np.asarray(u[:, -1])


def _saturating(u: np.ndarray) -> np.ndarray:
    return np.tanh(0.7 * (u[:, 0] - 1.0))


def bowl(first: Any, rest: Any, dimensions: int) -> Any:
    """Minus a squared distance, of variance one: from a first number and the others' square.

    Parameters
    ----------
    first, rest : (n,) arrays or tensors; rest the sum of squares of so many `dimensions`.
    """
    return -((first - _CENTRE) ** 2 + rest) / math.sqrt(2 * (dimensions + 1) + 4 * _CENTRE**2)


def _bowl(u: np.ndarray) -> np.ndarray:
    return np.asarray(bowl(u[:, 0], u[:, 1], _REST))


def _chi_square(dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-masses (m,) and places (m,), evenly in the logarithm."""
    t = np.linspace(np.log(dimensions) - 4.0, np.log(dimensions) + 2.5, 301)
    half = dimensions / 2
    log_mass = half * t - np.exp(t) / 2 - half * np.log(2) - gammaln(half) + np.log(t[1] - t[0])
    return log_mass, np.exp(t)


def bowl_nodes(rest: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-masses (m,) and places (m, 2): of a normal number, and of so many others' square."""
    (first_mass, first), (square_mass, square) = normal_nodes(9.0, 201), _chi_square(rest)
    mass = np.add.outer(first_mass, square_mass).ravel()
    return mass, np.column_stack([np.repeat(first, len(square)), np.tile(square, len(first))])


def _modes(share: float) -> np.ndarray:
    """Where a normal number of the mixture's rank is, (m,) at `_U`: by the tail that is smaller."""
    below = (1 - share) * ndtr(_U / _SD) + share * ndtr((_U - _FAR) / _SD)
    above = (1 - share) * ndtr(-_U / _SD) + share * ndtr((_FAR - _U) / _SD)
    return np.asarray(np.where(below < 0.5, ndtri(below), -ndtri(above)))


def rarer_mode(count: float) -> AnnealedOracle:
    """Two modes: r2 rises into the one that has so many of 4,096 samples of p0."""
    share = count / _STRATUM
    z_at = _modes(share)

    def push(z: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.interp(z[:, :1], z_at, _U)

    nodes = _U[::20]
    density = (1 - share) * np.exp(-((nodes / _SD) ** 2) / 2)
    density += share * np.exp(-(((nodes - _FAR) / _SD) ** 2) / 2)
    samples = (np.log(density / density.sum()), nodes[:, None])
    return AnnealedOracle(f"rarer mode of {count:g}", ModelOfNoise(push), _first, _bent, [samples])


def _walked(z: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Take a step up wherever a step's noise is below its quantile, which falls with height."""
    state = np.zeros(len(z), np.int64)
    for step in range(_STEPS):
        state += z[:, step] < ndtri(_UP)[state]
    return state[:, None].astype(np.float64)


def _of_walk() -> tuple[np.ndarray, np.ndarray]:
    mass = np.eye(_STEPS + 1)[0]
    for _ in range(_STEPS):
        mass = mass * (1 - _UP) + np.append(0.0, (mass * _UP)[:-1])
    return np.log(mass), _STATES[:, None].astype(np.float64)


def _prompted(z: np.ndarray, of: np.ndarray) -> np.ndarray:
    return np.column_stack([_MEANS[of] + _SPREADS[of] * z[:, 0], z[:, 0]])


def _of_prompts() -> list[tuple[np.ndarray, np.ndarray]]:
    mass, z = normal_nodes()
    return [(mass, _prompted(z, np.full(len(z), c))) for c in range(len(_MEANS))]


_LINE = ModelOfNoise(lambda z, of: z[:, :1])
_BALL = ModelOfNoise(lambda z, of: np.column_stack([z[:, 0], np.sum(z[:, 1:] ** 2, 1)]))

LINEAR = AnnealedOracle("linear", _LINE, _first, _bent, [normal_nodes()])
QUADRATIC = AnnealedOracle(
    "quadratic", _BALL, _bowl, lambda u: -4.0 * np.exp(-u[:, 0] / 2), [bowl_nodes(_REST)]
)
SATURATING = AnnealedOracle("saturating", _LINE, _saturating, _bent, [normal_nodes()])
CHAIN = AnnealedOracle("chain of states", ModelOfNoise(_walked), _first, _bent, [_of_walk()])
PROMPTED = AnnealedOracle("ten prompts", ModelOfPrompts(_prompted), _first, _bent, _of_prompts())

ANNEALED_ORACLES = (LINEAR, QUADRATIC, rarer_mode(41.0), SATURATING, CHAIN, PROMPTED)
LEVELS = (0.01, 0.001, 0.0001)
"""Shares of effective samples that p0 has where they are asked."""
