"""Estimates over prompts: what the jackknife is by definition, finite differences, closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybilevel.testing.prompted_oracles import PROMPTED_ORACLES
from raybilevel.upper.curvature import hessian
from raybilevel.upper.derivatives_within import DerivativesWithin, estimate_within
from raybilevel.upper.penalty import Pool, estimate
from raybilevel.upper.prompts import Prompts

WEIGHTS = np.array([0.8, -0.3])
GAMMAS = [math.inf, 1e7, 5.0, 0.1]


def drawn(seed, sizes=(3, 5, 9, 30, 2)):
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    lower = rng.normal(size=(len(of), 2)) * [1.0, 0.7] + 10 * of[:, None]
    upper = lower[:, 0] - 0.03 * lower[:, 1] ** 2 + rng.normal(size=len(of))
    return Pool(upper, lower), Prompts(of, rng.dirichlet(np.ones(len(sizes))))


def statistics(pool, rows, lambda_, gamma):
    """Value, gradient and Hessian of a prompt's rows alone, as one vector."""
    part = Pool(pool.upper[rows], pool.lower[rows])
    e = estimate(part, lambda_, WEIGHTS, gamma)
    h = hessian(part, e, lambda_, WEIGHTS, gamma)
    return np.concatenate([[e.value], e.gradient, h.ravel()])


def jackknifed(pool, prompts, lambda_, gamma):
    """By definition, one sample left out after the other: values, variances, corrections."""
    value = variance = corrected = 0.0
    for c, share in enumerate(prompts.shares):
        rows = np.flatnonzero(prompts.of == c)
        n, whole = len(rows), statistics(pool, rows, lambda_, gamma)
        without = np.stack([statistics(pool, np.delete(rows, i), lambda_, gamma) for i in range(n)])
        corrected = corrected + share * (n - 1) * (whole - without.mean(0))
        value = value + share * whole
        squares = ((without - without.mean(0)) ** 2).sum(0)
        variance = variance + share**2 * (n - 1) / n * squares
    return value + corrected, variance, corrected


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(GAMMAS), st.floats(0.02, 4.0))
def test_it_is_the_jackknife_within_prompts(seed, gamma, lambda_):
    """Where one sample has nearly all weight too, and where q is far from p."""
    pool, prompts = drawn(seed)
    found = estimate_within(pool, prompts, lambda_, WEIGHTS, gamma)
    values, variances, corrections = jackknifed(pool, prompts, lambda_, gamma)
    close = {"rtol": 1e-6, "atol": 1e-8 * np.abs(values).max()}
    np.testing.assert_allclose([found.value, *found.gradient], values[:4], **close)
    np.testing.assert_allclose([found.value_se, *found.gradient_se], variances[:4] ** 0.5, **close)
    np.testing.assert_allclose(
        [found.value_correction, *found.gradient_correction], corrections[:4], **close
    )
    h = DerivativesWithin(pool, prompts, lambda_, WEIGHTS, gamma).hessian()
    np.testing.assert_allclose(h.ravel(), values[4:], rtol=1e-6, atol=1e-6 * np.abs(h).max())


@pytest.mark.parametrize("gamma", GAMMAS)
def test_gradient_and_hessian_are_finite_differences(gamma):
    pool, prompts = drawn(2, (40, 30, 50))
    x, step = np.array([2.5, *WEIGHTS]), 1e-4

    def at(x):
        return estimate_within(pool, prompts, x[0], x[1:], gamma)

    ends = [(at(x - h), at(x + h)) for h in step * np.eye(3)]
    slopes = [(b.value - a.value) / (2 * step) for a, b in ends]
    bends = [(b.gradient - a.gradient) / (2 * step) for a, b in ends]
    np.testing.assert_allclose(at(x).gradient, slopes, rtol=1e-5, atol=1e-7)
    h = DerivativesWithin(pool, prompts, x[0], x[1:], gamma).hessian()
    np.testing.assert_allclose(h, bends, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(h, h.T)


def test_a_prompts_influences_are_its_own_and_have_no_mean():
    pool, prompts = drawn(4, (20, 30, 40))
    found = estimate_within(pool, prompts, 2.0, WEIGHTS)
    moved = Pool(pool.upper + 5.0 * (prompts.of == 0), pool.lower)
    again = estimate_within(moved, prompts, 2.0, WEIGHTS)
    np.testing.assert_allclose(again.gradient_influence, found.gradient_influence, atol=1e-11)
    for c in range(3):
        assert abs(found.gradient_influence[prompts.of == c].sum(axis=0)).max() < 1e-10


def test_errors_over_prompts_like_these_are_those_of_a_mean_of_prompts():
    pool, prompts = drawn(5, (20,) * 30)
    prompts = Prompts(prompts.of, np.full(30, 1 / 30))
    found = estimate_within(pool, prompts, 2.0, WEIGHTS)
    influence = found.gradient_influence_of_prompts
    expected = found.gradients.std(axis=0, ddof=1) / math.sqrt(30)
    np.testing.assert_allclose(np.sqrt((influence**2).sum(axis=0)) / 30, expected, rtol=1e-12)
    assert np.sqrt((found.value_influence_of_prompts**2).sum()) / 30 == pytest.approx(
        found.values.std(ddof=1) / math.sqrt(30)
    )


@pytest.mark.parametrize("oracle", PROMPTED_ORACLES, ids=lambda o: o.name)
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_bias_is_gone_and_errors_are_right_where_the_answer_is_known(oracle, weighted):
    """50 prompts of 32 at three spreads of the reward: jobs/bench/prompts.py has all places."""
    lambda_, found = 3.0, []
    for seed in range(60):
        rng = np.random.default_rng([seed, weighted])
        chosen = oracle.chosen(rng, 50, weighted=weighted)
        pool, prompts = chosen.draw(rng, 32)
        e = estimate_within(pool, prompts, lambda_, np.ones(1))
        errors = (e.value - chosen.value(lambda_), e.gradient[0] - chosen.gradient(lambda_))
        found.append((errors[0] / e.value_se, errors[1] / e.gradient_se[0]))
    z = np.array(found)
    assert np.all(np.abs(z.mean(axis=0)) < 4 / math.sqrt(60))
    assert np.all((z.std(axis=0) > 0.75) & (z.std(axis=0) < 1.35))
