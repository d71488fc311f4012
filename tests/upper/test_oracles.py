"""The pool's estimator against problems whose answers are known, over replicated pools.

Bounds are those of the promise, and seeds are 0, 1, 2, ..., never chosen. Intervals are tested
wherever at least 60 pools pass the gates: where fewer do, chance hides whether they cover, and
those that pass are lucky (`jobs/bench/gates.py` prints all problems).
"""

import math

import numpy as np
import pytest

from raybilevel.problems.reward.convergence import StopReason
from raybilevel.testing import conformance
from raybilevel.testing.conformance import check_gradients, check_optimum, slope
from raybilevel.testing.oracles import ORACLES
from raybilevel.upper.diagnostics import examine
from raybilevel.upper.gates import Gates
from raybilevel.upper.penalty import estimate

GAMMAS = [math.inf, 20.0]
SEEDS = range(200)
SIZE_ALONE = Gates(max_pareto_k=math.inf, max_share=math.inf)
BY_NAME = {oracle.name: oracle for oracle in ORACLES}
oracles = pytest.mark.parametrize("oracle", ORACLES, ids=lambda o: o.name)
gammas = pytest.mark.parametrize("gamma", GAMMAS)


@oracles
@gammas
def test_an_oracles_gradient_is_the_derivative_of_its_value(oracle, gamma):
    for x in (*oracle.points, *oracle.sick):
        steps = 1e-5 * np.eye(len(x))
        slopes = [(oracle.value(x + h, gamma) - oracle.value(x - h, gamma)) / 2e-5 for h in steps]
        np.testing.assert_allclose(oracle.gradient(x, gamma), slopes, rtol=1e-5, atol=1e-6)


@oracles
def test_an_oracles_cumulants_are_those_of_its_draws(oracle):
    rewards = oracle.law.draw(np.random.default_rng(0), 100_000)
    eta = np.append(0.02, oracle.points[0][1:] / oracle.points[0][0])
    weights = np.exp(rewards @ eta)
    known = oracle.law.cumulants(eta)
    spread = weights.std() / weights.mean() / math.sqrt(len(weights))
    assert abs(math.log(weights.mean()) - known.value) < 4 * spread
    error = weights @ rewards / weights.sum() - known.mean
    np.testing.assert_array_less(np.abs(error), 0.02)


@oracles
@gammas
def test_an_oracles_optimum_is_a_minimum(oracle, gamma):
    best = np.append(oracle.best_lambda(gamma), oracle.base[1:])
    beside = [np.append(best[0] * f, best[1:]) for f in (0.99, 1.01)]
    assert all(oracle.value(x, gamma) > oracle.value(best, gamma) for x in beside)
    if oracle.weights:
        best = np.append(oracle.base[0], oracle.best_weights(gamma))
        beside = [best + h for h in 0.01 * np.eye(len(best))[1:]]
        assert all(oracle.value(x, gamma) > oracle.value(best, gamma) for x in beside)


@oracles
@gammas
def test_gradients_are_unbiased_and_know_their_error(oracle, gamma):
    for check in check_gradients(oracle, oracle.points[0], gamma, 2000, SEEDS):
        assert abs(check.bias_z) < 3 and check.sign_right, check
        if check.passed * len(SEEDS) >= 60:
            assert 0.8 < check.se_ratio < 1.2, check
            assert 0.90 <= check.coverage <= 0.99, check


@oracles
@gammas
def test_gates_refuse_where_they_should(oracle, gamma):
    for x in oracle.sick:
        for seed in range(20):
            pool = oracle.draw(np.random.default_rng(seed), 2000)
            assert not examine(estimate(pool, x[0], x[1:], gamma), [0]).ok


@pytest.mark.parametrize(
    ("name", "tuned"),
    [
        ("gaussian, quadratic", "lambda"),
        ("gaussian, quadratic", "weights"),
        ("forty states", "lambda"),
    ],
)
@gammas
def test_intervals_of_the_optimum_cover_it(name, tuned, gamma):
    for check in check_optimum(BY_NAME[name], tuned, gamma, 4096, SEEDS):
        assert check.converged > 0.9, check
        assert 0.90 <= check.coverage <= 0.99, check
        assert 0.8 < check.se_ratio < 1.2, check
        assert abs(check.bias_z) < 3, check


def test_an_optimum_where_weights_have_no_variance_is_never_called_converged():
    (check,) = check_optimum(BY_NAME["heavy"], "lambda", math.inf, 2000, range(30))
    assert set(check.reasons) <= {StopReason.FRONTIER.name, StopReason.NOWHERE.name}


@gammas
def test_errors_shrink_with_the_root_of_the_pool(gamma):
    oracle = BY_NAME["gaussian, quadratic"]
    for exponent in slope(oracle, oracle.points[1], gamma, range(60)):
        assert exponent == pytest.approx(-0.5, abs=0.1)


def test_gates_without_a_share_would_be_found_out(monkeypatch):
    """Where the influences are heavy, intervals miss and the stated error is no error."""
    monkeypatch.setattr(conformance, "examine", lambda e, c: examine(e, c, SIZE_ALONE))
    oracle = BY_NAME["exponential price"]
    (check,) = check_gradients(oracle, oracle.points[1], math.inf, 2000, SEEDS)
    assert check.passed > 0.9 and check.coverage < 0.9


@pytest.mark.parametrize("name", ["exponential price", "cubic"])
def test_heavy_influences_are_refused_though_the_weights_are_light(name):
    oracle = BY_NAME[name]
    for x in oracle.points[1:]:
        for check in check_gradients(oracle, x, math.inf, 2000, range(50)):
            assert check.passed < 0.1, check
        pool = oracle.draw(np.random.default_rng(0), 2000)
        assert examine(estimate(pool, x[0], x[1:]), [0], SIZE_ALONE).ok


def test_the_plain_pool_mean_would_be_found_out():
    """The known trap: E over the pool where E over p_x is due (design, section 3.1)."""

    def trap(pool, lambda_, weights, gamma):
        found = estimate(pool, lambda_, weights, gamma)
        plain = np.cov(pool.upper, pool.lower @ weights)[0, 1] / lambda_**2
        gradient = np.append(plain, found.gradient[1:])
        return type(found)(
            found.value, gradient, found.value_influence, found.gradient_influence, found.tilts
        )

    oracle = BY_NAME["over-optimised"]
    (check,) = check_gradients(
        oracle, np.array([0.9, 1.0]), math.inf, 2000, range(50), estimator=trap
    )
    assert abs(check.bias_z) > 10 and not check.sign_right
