"""The estimate's gradients and influences are derivatives, at every gamma, to rounding."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from raybilevel.upper.penalty import Pool, estimate

GAMMAS = [math.inf, 1e3, 10.0, 1.0]


def make_pool(seed=0, n=300, k=3):
    rng = np.random.default_rng(seed)
    lower = rng.standard_normal((n, k))
    upper = lower[:, 0] - 0.3 * lower[:, -1] ** 2 + rng.standard_normal(n)
    return Pool(upper, lower)


def naive(pool, x, gamma, mass=None):
    """L_gamma by its definition for samples of unequal `mass` (n,): an independent reference."""
    mass = np.full(pool.n, 1 / pool.n) if mass is None else mass
    tilt = pool.lower @ x[1:] / x[0]
    if math.isinf(gamma):
        weights = mass * np.exp(tilt - tilt.max())
        return -weights @ pool.upper / weights.sum()
    with_r1 = logsumexp(tilt + pool.upper / (gamma * x[0]), b=mass)
    return -gamma * x[0] * (with_r1 - logsumexp(tilt, b=mass))


def at(pool, x, gamma):
    return estimate(pool, x[0], x[1:], gamma)


def difference(f, x, step=1e-5):
    return np.array([(f(x + e) - f(x - e)) / (2 * step) for e in step * np.eye(len(x))])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(GAMMAS), st.floats(0.5, 5.0))
def test_gradients_equal_finite_differences_of_the_value(seed, gamma, lambda_):
    pool, x = make_pool(seed), np.array([lambda_, 0.7, -0.2, 0.4])
    expected = difference(lambda y: at(pool, y, gamma).value, x)
    np.testing.assert_allclose(at(pool, x, gamma).gradient, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_values_equal_the_definition(gamma):
    pool, x = make_pool(), np.array([0.8, 1.0, 0.3, -0.2])
    assert at(pool, x, gamma).value == pytest.approx(naive(pool, x, gamma), rel=1e-10)


@pytest.mark.parametrize("gamma", [1e2, 10.0, 1.0, 0.1])
def test_the_lambda_gradient_is_gamma_times_a_difference_of_kls(gamma):
    pool, x = make_pool(), np.array([0.8, 1.0, 0.3, -0.2])
    found = at(pool, x, gamma)
    p, q = found.tilts
    assert found.gradient[0] == pytest.approx(gamma * (q.kl - p.kl), rel=1e-8)
    gap = q.mean(pool.lower) - p.mean(pool.lower)
    np.testing.assert_allclose(found.gradient[1:], -gamma * gap, rtol=1e-8)


@pytest.mark.parametrize("lambda_", [0.3, 1.0, 10.0])
def test_a_growing_gamma_reaches_the_exact_derivatives_without_losing_digits(lambda_):
    pool, x = make_pool(), np.array([lambda_, 1.0, 0.3, -0.2])
    exact = at(pool, x, math.inf)
    for gamma in 10.0 ** np.arange(3, 15):
        tolerance = max(100 / gamma, 1e-12)
        found = at(pool, x, gamma)
        assert found.value == pytest.approx(exact.value, rel=tolerance)
        for name in ("gradient", "value_influence", "gradient_influence"):
            want = getattr(exact, name)
            np.testing.assert_allclose(
                getattr(found, name), want, rtol=0, atol=tolerance * np.abs(want).max()
            )


@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_bias_is_a_variance_over_two_gamma_lambda(gamma):
    pool, x = make_pool(), np.array([2.0, 1.0, 0.3, -0.2])
    exact, found = at(pool, x, math.inf), at(pool, x, max(gamma, 1e3))
    p = exact.tilts[0]
    variance = p.mean((pool.upper - p.mean(pool.upper)) ** 2)
    bias = found.value - exact.value
    assert bias == pytest.approx(-variance / (2 * max(gamma, 1e3) * x[0]), rel=0.02)


@pytest.mark.parametrize("gamma", [*GAMMAS, 1e9])
def test_influences_are_derivatives_in_the_mass_of_one_sample(gamma):
    pool, x, step = make_pool(n=120), np.array([0.8, 1.0, 0.3, -0.2]), 1e-4
    found = at(pool, x, gamma)
    reference = min(gamma, 1e4) if math.isfinite(gamma) else gamma  # beyond, naive loses digits

    def moved(i, t):
        mass = np.full(pool.n, (1 - t) / pool.n)
        mass[i] += t
        value = naive(pool, x, reference, mass)
        return np.append(value, difference(lambda y: naive(pool, y, reference, mass), x, 1e-4))

    for i in (0, int(np.argmax(found.tilts[0].weights)), 50):
        expected = (moved(i, step) - moved(i, -step)) / (2 * step)
        got = np.append(found.value_influence[i], found.gradient_influence[i])
        np.testing.assert_allclose(got, expected, rtol=5e-3, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("gamma", [*GAMMAS, 0.05, 1e12])
def test_influences_have_mean_zero(gamma):
    found = at(make_pool(), np.array([0.8, 1.0, 0.3, -0.2]), gamma)
    for influence in (found.value_influence[:, None], found.gradient_influence):
        scale = np.abs(influence).max(axis=0)
        np.testing.assert_allclose(influence.mean(axis=0) / scale, 0.0, atol=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_standard_errors_shrink_with_copies_of_the_pool(gamma):
    pool, x = make_pool(), np.array([0.8, 1.0, 0.3, -0.2])
    fourfold = Pool(np.tile(pool.upper, 4), np.tile(pool.lower, (4, 1)))
    once, again = at(pool, x, gamma), at(fourfold, x, gamma)
    np.testing.assert_allclose(again.gradient, once.gradient, rtol=1e-10)
    np.testing.assert_allclose(again.gradient_se, once.gradient_se / 2, rtol=1e-10)
    assert again.value_se == pytest.approx(once.value_se / 2)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("constant", [-1e4, 7.0])
def test_constants_added_to_rewards_only_move_the_value(gamma, constant):
    pool, x = make_pool(), np.array([0.8, 1.0, 0.3, -0.2])
    moved = Pool(pool.upper + constant, pool.lower + constant)
    before, after = at(pool, x, gamma), at(moved, x, gamma)
    assert after.value + constant == pytest.approx(before.value, abs=1e-7)
    np.testing.assert_allclose(after.gradient[1:], before.gradient[1:], atol=1e-7)
    np.testing.assert_allclose(after.gradient_se, before.gradient_se, rtol=1e-7)


@pytest.mark.parametrize("factor", [0.1, 3.0])
def test_only_weights_over_lambda_matter(factor):
    pool, x = make_pool(), np.array([0.8, 1.0, 0.3, -0.2])
    before, after = at(pool, x, math.inf), at(pool, factor * x, math.inf)
    assert after.value == pytest.approx(before.value, rel=1e-12)
    np.testing.assert_allclose(after.gradient * factor, before.gradient, rtol=1e-9)
    penalised = at(pool, factor * x, 10.0 / factor)  # gamma lambda is what L depends on besides
    assert penalised.value == pytest.approx(at(pool, x, 10.0).value, rel=1e-12)


@pytest.mark.parametrize("gamma", [math.inf, 10.0])
def test_the_free_direction_has_no_gradient_where_gamma_is_infinite(gamma):
    pool, x = make_pool(), np.array([0.8, 1.0, 0.3, -0.2])
    along = at(pool, x, gamma).gradient @ x
    assert (abs(along) < 1e-10) == math.isinf(gamma)


def test_a_forty_state_distribution_is_reproduced_exactly():
    rng = np.random.default_rng(3)
    counts, r1, r2 = rng.integers(1, 30, 40), rng.normal(size=40), rng.normal(size=40)
    pool = Pool(np.repeat(r1, counts), np.repeat(r2, counts)[:, None])
    p = counts * np.exp(r2 / 0.7)
    p /= p.sum()
    covariance = p @ ((r1 - p @ r1) * (r2 - p @ r2))
    found = estimate(pool, 0.7, np.array([1.0]))
    assert found.value == pytest.approx(-p @ r1, rel=1e-12)
    np.testing.assert_allclose(found.gradient, [covariance / 0.49, -covariance / 0.7], rtol=1e-11)
    q = p * np.exp(r1 / (2.0 * 0.7))
    penalised = estimate(pool, 0.7, np.array([1.0]), gamma=2.0)
    assert penalised.value == pytest.approx(-1.4 * np.log(q.sum()), rel=1e-12)
    assert penalised.gradient[1] == pytest.approx(-2 * (q @ r2 / q.sum() - p @ r2), rel=1e-11)


def test_a_penalty_that_picks_samples_without_weight_is_still_exact():
    lower = np.array([[0.0], [1000.0], [1001.0]])  # the first has weight exp(-1001): none
    pool = Pool(np.array([3.0, 0.0, 0.0]), lower)
    found = estimate(pool, 1.0, np.array([1.0]), gamma=1e-3)
    expected = naive(pool, np.array([1.0, 1.0]), 1e-3)
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.gradient[1] == pytest.approx(1e-3 * (1000 + 1 / (1 + math.exp(-1))), 1e-9)
