"""The upper objective on a pool: at any x, with some of (lambda, weights) fixed."""

import math

import numpy as np
import pytest

from raybilevel import Variable
from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.upper.penalty import Pool, estimate

U = np.random.default_rng(0).normal(size=(2000, 2))
POOL = Pool(-((U[:, 0] - 1) ** 2), U)
SOME = Coefficients((2.0, Variable("a", 1.0, 0.0, 3.0), -1, Variable("b", 0.5, 0.0, 3.0)))
LAMBDA = Coefficients((Variable("lambda", 3.0, 0.5, 20.0, "log"), 1.0, 0.5))


def test_coefficients_are_the_variables_and_what_is_fixed():
    assert [v.name for v in SOME.variables] == ["a", "b"]
    assert SOME.columns == [1, 3]
    assert SOME.at(np.array([0.25, 0.75])).tolist() == [2.0, 0.25, -1.0, 0.75]


@pytest.mark.parametrize("gamma", [math.inf, 20.0])
def test_the_objective_is_the_pools_estimate_at_all_coefficients(gamma):
    point = PoolObjective(POOL, LAMBDA, gamma).at(np.array([4.0]))
    given = 4.0, np.array([1.0, 0.5])
    assert point.estimate.value == estimate(POOL, *given, gamma).value
    assert point.exact.value == point.score[0] == estimate(POOL, *given).value
    assert point.diagnostics.ok


def test_expectations_at_a_point_are_those_of_its_weights():
    point = PoolObjective(POOL, LAMBDA).at(np.array([4.0]))
    mean, error = point.mean(POOL.upper)
    assert point.weights.sum() == pytest.approx(1)
    assert mean == pytest.approx(point.weights @ POOL.upper)
    assert (-mean, error) == pytest.approx(point.score)  # F is minus the mean of r1
    tilt = POOL.lower @ [1.0, 0.5] / 4.0
    assert point.lower_loss == pytest.approx(-4.0 * math.log(np.mean(np.exp(tilt))))


@pytest.mark.parametrize("gamma", [math.inf, 20.0])
def test_the_hessian_is_the_derivative_of_the_gradient(gamma):
    objective = PoolObjective(POOL, Coefficients((2.0, *SOME.variables)), gamma)
    x, step = np.array([0.5, 0.25]), 1e-5
    slopes = [
        (objective.estimate(x + h).gradient - objective.estimate(x - h).gradient)[1:] / (2 * step)
        for h in step * np.eye(2)
    ]
    found = objective.curved(x)[1]()
    np.testing.assert_allclose(found, slopes, rtol=1e-4, atol=1e-6)
