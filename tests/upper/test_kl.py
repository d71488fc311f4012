"""The KL of a tilted pool: closed forms, the jackknife by definition, finite differences."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybilevel.testing.prompted_oracles import PROMPTED_ORACLES
from raybilevel.upper.kl import kl_estimate
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts
from raybilevel.upper.tilting import Tilted

WEIGHTS = np.array([0.8, -0.3])


def drawn(seed, sizes=(3, 5, 9, 30, 2)):
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    lower = rng.normal(size=(len(of), 2)) * [1.0, 0.7] + 10 * of[:, None]
    return Pool(np.zeros(len(of)), lower), Prompts(of, rng.dirichlet(np.ones(len(sizes))))


def statistics(tilt, lower, lambda_):
    """KL and its gradient in (lambda, w), of a prompt's samples alone."""
    p = Tilted(tilt)
    of_w = p.mean(p.centred(tilt)[:, None] * lower) / lambda_
    return np.array([p.kl, -of_w @ WEIGHTS / lambda_, *of_w])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.02, 4.0))
def test_it_is_the_jackknife_within_prompts(seed, lambda_):
    pool, prompts = drawn(seed)
    tilt = pool.lower @ WEIGHTS / lambda_
    values = variances = np.zeros(4)
    for c, share in enumerate(prompts.shares):
        rows = np.flatnonzero(prompts.of == c)
        n, whole = len(rows), statistics(tilt[rows], pool.lower[rows], lambda_)
        left = (np.delete(rows, i) for i in range(n))
        without = np.stack([statistics(tilt[r], pool.lower[r], lambda_) for r in left])
        values = values + share * (n * whole - (n - 1) * without.mean(0))
        squares = ((without - without.mean(0)) ** 2).sum(0)
        variances = variances + share**2 * (n - 1) / n * squares
    found = kl_estimate(pool, prompts, lambda_, WEIGHTS)
    close = {"rtol": 1e-6, "atol": 1e-7 * np.abs(values).max()}
    np.testing.assert_allclose([found.value, *found.gradient], values, **close)
    np.testing.assert_allclose([found.value_se, *found.gradient_se], variances**0.5, **close)


@pytest.mark.parametrize("alone", [False, True])
def test_the_gradient_is_finite_differences(alone):
    pool, prompts = drawn(2, (40, 30, 50))
    x, step = np.array([2.5, *WEIGHTS]), 1e-4

    def at(x):
        return kl_estimate(pool, None if alone else prompts, x[0], x[1:])

    slopes = [(at(x + h).value - at(x - h).value) / (2 * step) for h in step * np.eye(3)]
    np.testing.assert_allclose(at(x).gradient, slopes, rtol=1e-6, atol=1e-8)


def test_a_samples_influence_is_what_more_of_it_moves():
    """Of one prompt, where E_p[t] moves by n w (t - E_p[t]), and log Z by n w - 1."""
    rng = np.random.default_rng(0)
    pool, lambda_ = Pool(np.zeros(5000), rng.normal(size=(5000, 2))), 2.0
    tilt = pool.lower @ WEIGHTS / lambda_
    p = Tilted(tilt)
    found = kl_estimate(pool, None, lambda_, WEIGHTS).value_influence
    np.testing.assert_allclose(found, 1 + p.n * p.weights * (p.centred(tilt) - 1), atol=0.01)


def test_of_a_gaussian_reward_it_is_the_closed_form():
    """KL = s^2 / (2 lambda^2)."""
    pool = Pool(np.zeros(20000), 3.0 + 1.3 * np.random.default_rng(5).normal(size=(20000, 1)))
    e = kl_estimate(pool, None, 2.6, np.ones(1))
    assert e.value == pytest.approx(0.125, abs=4 * e.value_se)
    assert e.gradient[0] == pytest.approx(-0.25 / 2.6, abs=4 * e.gradient_se[0])


def test_of_few_samples_a_prompt_it_has_no_bias_that_could_be_seen():
    """200 prompts of 16: before the correction it is too small by three standard errors."""
    errors = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        chosen = PROMPTED_ORACLES[0].chosen(rng, 200)
        e = kl_estimate(*chosen.draw(rng, 16), 2.5, np.ones(1))
        errors.append([e.value - chosen.kl(2.5), e.value_correction, e.value_se])
    error, correction, se = np.mean(errors, axis=0)
    assert abs(error) < 4 * se / math.sqrt(30)
    assert correction > 2 * se
