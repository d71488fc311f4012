"""The Hessian is the derivative of the gradient, at every gamma, to rounding."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybilevel.testing.oracles import ORACLES
from raybilevel.upper.curvature import hessian
from raybilevel.upper.penalty import Pool, estimate

GAMMAS = [math.inf, 1e6, 1e3, 10.0, 1.0]


def make_pool(seed, n=300):
    rng = np.random.default_rng(seed)
    lower = rng.normal([0.0, 5.0, -2.0], 1.0, (n, 3))
    upper = lower[:, 0] - 0.3 * lower[:, -1] ** 2 + rng.standard_normal(n)
    return Pool(upper, lower)


def at(pool, x, gamma):
    return estimate(pool, x[0], x[1:], gamma)


def found_and_expected(pool, x, gamma, step=1e-5):
    found = hessian(pool, at(pool, x, gamma), x[0], x[1:], gamma)
    steps = step * np.eye(len(x))
    expected = np.array(
        [(at(pool, x + e, gamma).gradient - at(pool, x - e, gamma).gradient) for e in steps]
    ) / (2 * step)
    return found, expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(GAMMAS), st.floats(0.5, 5.0))
def test_it_equals_differences_of_the_gradient(seed, gamma, lambda_):
    pool, x = make_pool(seed), np.array([lambda_, 0.7, -0.2, 0.4])
    found, expected = found_and_expected(pool, x, gamma)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: oracle.name)
def test_it_does_so_on_every_oracle(oracle):
    pool = oracle.draw(np.random.default_rng(0), 2000)
    for x in oracle.points:
        found, expected = found_and_expected(pool, x, math.inf, 1e-5 * x[0])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_it_is_a_third_cumulant_in_the_weights():
    pool, x = make_pool(7), np.array([1.0, 0.7, -0.2, 0.4])
    (p,) = at(pool, x, math.inf).tilts
    c = pool.upper - p.mean(pool.upper)
    rest = pool.lower - p.mean(pool.lower)
    expected = -(rest * (p.weights * c)[:, None]).T @ rest
    found, _ = found_and_expected(pool, x, math.inf)
    np.testing.assert_allclose(found[1:, 1:], expected, rtol=1e-9)
