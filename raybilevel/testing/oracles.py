"""Reward problems whose answers are known: what a new estimator must reproduce.

An oracle draws pools, and knows F, L_gamma, their gradients and their minimiser. For the estimator
of the pool this is run by `tests/upper/test_oracles.py` and `jobs/bench/oracles.py`.

    for oracle in ORACLES:
        pool = oracle.draw(np.random.default_rng(0), 4096)
        for x in oracle.points:
            compare(my_estimator(pool, x[0], x[1:], gamma), oracle.gradient(x, gamma))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybilevel.testing.cumulants import Discrete, OneGaussian, Quadratic
from raybilevel.testing.oracle import Oracle
from raybilevel.upper.variables import Variable


def _points(*points: Sequence[float]) -> list[np.ndarray]:
    return [np.array(point) for point in points]


def _bowl(centre: Sequence[float], steepness: float = 1.0) -> tuple[float, np.ndarray, np.ndarray]:
    """Coefficients a, b, c of the reward -steepness |u - centre|^2 / 2."""
    m = np.array(centre)
    return -steepness * float(m @ m) / 2, steepness * m, steepness * np.eye(len(m))


def _line(*slope: float) -> tuple[float, np.ndarray, np.ndarray]:
    return 0.0, np.array(slope), np.zeros((len(slope), len(slope)))


def _quadratic(
    rewards: Sequence[tuple[float, np.ndarray, np.ndarray]], centres: Sequence[Sequence[float]]
) -> Quadratic:
    a, b, c = zip(*rewards, strict=True)
    return Quadratic(np.array(a), np.array(b), np.array(c), np.array(centres))


def _over_optimised(u: np.ndarray) -> np.ndarray:
    """Take r2 = u for a proxy of r1 = exp(-(u - 0.8)^2 / 2), which falls once r2 is above 0.8."""
    return np.column_stack([np.exp(-((u - 0.8) ** 2) / 2), u])


def _priced(u: np.ndarray) -> np.ndarray:
    """Take r2 = u for r1 = 2 tanh(u) - 0.4 exp(u), whose price rests on rare samples."""
    return np.column_stack([2 * np.tanh(u) - 0.4 * np.exp(u), u])


def _cubic(u: np.ndarray) -> np.ndarray:
    """Take r2 = u for r1 = u - |u|^3 / 3 (without the bars L_gamma would be infinite)."""
    return np.column_stack([u - np.abs(u) ** 3 / 3, u])


def _forty_states() -> Discrete:
    rng = np.random.default_rng(40)
    r2 = rng.normal(size=(40, 2))
    r1 = -((r2 - [0.5, 0.3]) ** 2).sum(axis=1) / 2 + 0.5 * rng.normal(size=40)
    return Discrete(np.log(rng.dirichlet(np.ones(40))), np.column_stack([r1, r2]))


def _lambda(low: float, high: float, init: float = 2.0) -> Variable:
    return Variable("lambda_", init, low, high, "log")


def _two(low: float = -2.0, high: float = 2.0) -> list[Variable]:
    return [Variable(f"w{k}", 0.2, low, high) for k in (1, 2)]


ORACLES = (
    Oracle(
        "gaussian, linear",  # p_x = N(1 / lambda, 1): lambda* = 1 / 0.4
        _quadratic([_bowl([0.4]), _line(1.0)], [[0.0]]),
        _points([3.0, 1.0], [1.5, 1.0], [1.0, 1.0]),
        _points([0.3, 1.0], [0.2, 1.0]),
        np.array([1.0, 1.0]),
        _lambda(0.3, 20.0),
    ),
    Oracle(
        "gaussian, quadratic",  # two weights: a drift and a squeeze
        _quadratic([_bowl([0.3, 0.2]), _bowl([2.0, 0.0]), _line(0.0, 1.0)], [[0.0, 0.0]]),
        _points([3.0, 1.0, 0.3], [1.5, 1.0, 0.3], [1.0, 0.5, -0.5]),
        _points([0.02, 1.0, 0.3], [0.1, 0.3, 1.0]),
        np.array([1.0, 1.0, 0.3]),
        _lambda(0.1, 20.0, 3.0),
        _two(-0.4, 3.0),
    ),
    Oracle(
        "mixture in 2-D",
        _quadratic(
            [_bowl([0.6, 0.2]), _line(1.0, 0.0), _line(0.0, 1.0)],
            [[-1.0, 0.0], [1.0, 0.5], [0.0, -1.0]],
        ),
        _points([3.0, 1.0, 0.5], [2.0, 1.0, 0.5], [1.5, 0.5, 0.5]),
        _points([0.4, 1.0, 0.5], [0.3, 0.5, -1.0]),
        np.array([1.0, 1.0, 0.5]),
        _lambda(0.3, 20.0),
        _two(),
    ),
    Oracle(
        "forty states",
        _forty_states(),
        _points([2.0, 1.0, 0.5], [1.0, 1.0, 0.5], [1.0, -0.3, 0.6]),
        _points([0.05, 1.0, 0.5]),
        np.array([1.0, 1.0, 0.5]),
        _lambda(0.2, 20.0),
        _two(-3.0, 3.0),
    ),
    Oracle(
        "over-optimised",
        OneGaussian(_over_optimised),  # lambda* = 1 / 0.8
        _points([4.0, 1.0], [2.0, 1.0], [0.9, 1.0]),
        _points([0.3, 1.0], [0.2, 1.0]),
        np.array([1.0, 1.0]),
        _lambda(0.3, 20.0, 3.0),
    ),
    Oracle(
        "exponential price",  # lambda* = 1.89: influences like exp(1.5 u), finite but rare
        OneGaussian(_priced),
        _points([6.0, 1.0], [4.0, 1.0], [2.5, 1.0]),
        _points([0.4, 1.0], [0.3, 1.0]),
        np.array([1.0, 1.0]),
        _lambda(0.3, 20.0, 3.0),
    ),
    Oracle(
        "cubic",
        OneGaussian(_cubic),
        _points([6.0, 1.0], [4.0, 1.0], [2.5, 1.0]),
        _points([0.4, 1.0], [0.3, 1.0]),
        np.array([1.0, 1.0]),
        _lambda(0.3, 20.0, 3.0),
    ),
    Oracle(
        "heavy",  # r2 = u + u^2 / 4: no E[w^2] below lambda = 1, no p_x below 1/2; lambda* = 3/4
        _quadratic([_bowl([4.25]), (0.0, np.ones(1), np.full((1, 1), -0.5))], [[0.0]]),
        _points([6.0, 1.0], [4.0, 1.0]),
        _points([0.9, 1.0], [0.7, 1.0]),
        np.array([1.0, 1.0]),
        _lambda(0.55, 20.0, 6.0),
    ),
)
