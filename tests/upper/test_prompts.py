"""Estimates within prompts: closed forms, finite differences, and what one prompt gives."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from raybilevel.upper.curvature import hessian
from raybilevel.upper.diagnostics import examine
from raybilevel.upper.penalty import Pool, estimate
from raybilevel.upper.prompts import Prompts, estimate_within

MEANS = np.array([0.0, 2.0, -1.0])
SPREADS = np.array([1.0, 0.5, 1.5])
SHARES = np.array([0.5, 0.25, 0.25])
LAMBDA, WEIGHT = 2.5, np.array([1.3])


def drawn(seed, sizes=(400, 300, 500), order=True):
    """r2 = u of N(mean_c, spread_c), r1 = u - u^2 / 8."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(3), sizes)
    if order:
        of = rng.permutation(of)
    u = MEANS[of] + SPREADS[of] * rng.standard_normal(len(of))
    return Pool(u - u**2 / 8, u[:, None]), Prompts(of, SHARES)


def exact(lambda_, weight=WEIGHT[0]):
    """F: p_x within a prompt is N(m + w s^2 / lambda, s^2)."""
    means = MEANS + weight * SPREADS**2 / lambda_
    return -SHARES @ (means - (means**2 + SPREADS**2) / 8)


@pytest.mark.parametrize("gamma", [math.inf, 3.0])
def test_one_prompt_gives_what_a_pool_without_prompts_gives(gamma):
    pool, _ = drawn(0)
    one = estimate_within(pool, Prompts(np.zeros(pool.n, int), np.ones(1)), LAMBDA, WEIGHT, gamma)
    plain = estimate(pool, LAMBDA, WEIGHT, gamma)
    assert one.value == plain.value
    assert np.array_equal(one.gradient, plain.gradient)
    assert np.array_equal(one.gradient_influence, plain.gradient_influence)
    np.testing.assert_allclose(one.tilts[0].weights, plain.tilts[0].weights, rtol=1e-14)
    assert one.tilts[0].kl == plain.tilts[0].kl
    assert one.tilts[0].kl_of_size == pytest.approx(plain.tilts[0].kl, rel=1e-13)
    assert examine(one, [0]).ess == pytest.approx(examine(plain, [0]).ess, rel=1e-13)


@pytest.mark.parametrize("gamma", [math.inf, 3.0])
def test_an_estimate_is_the_average_of_its_prompts_by_their_shares(gamma):
    pool, prompts = drawn(1)
    whole = estimate_within(pool, prompts, LAMBDA, WEIGHT, gamma)
    parts = [
        estimate(Pool(pool.upper[rows], pool.lower[rows]), LAMBDA, WEIGHT, gamma)
        for rows in (np.flatnonzero(prompts.of == c) for c in range(3))
    ]
    assert whole.value == pytest.approx(SHARES @ [p.value for p in parts], rel=1e-13)
    np.testing.assert_allclose(whole.gradient, SHARES @ [p.gradient for p in parts], rtol=1e-12)
    assert whole.value_se == pytest.approx(
        math.sqrt(SHARES**2 @ [p.value_se**2 for p in parts]), rel=1e-12
    )
    assert whole.tilts[0].ess == pytest.approx(
        1 / (SHARES**2 @ [1 / p.tilts[0].ess for p in parts]), rel=1e-12
    )
    assert whole.tilts[0].weights[prompts.of == 1].sum() == pytest.approx(SHARES[1])


@pytest.mark.parametrize("gamma", [math.inf, 3.0])
def test_gradient_and_curvature_within_prompts_are_finite_differences(gamma):
    pool, prompts = drawn(2)
    step = 1e-4
    found = estimate_within(pool, prompts, LAMBDA, WEIGHT, gamma)
    ends = [estimate_within(pool, prompts, LAMBDA + h, WEIGHT, gamma) for h in (-step, step)] + [
        estimate_within(pool, prompts, LAMBDA, WEIGHT + h, gamma) for h in (-step, step)
    ]
    values = np.array([e.value for e in ends])
    slopes = np.stack([e.gradient for e in ends])
    np.testing.assert_allclose(found.gradient, (values[1::2] - values[::2]) / (2 * step), rtol=1e-5)
    np.testing.assert_allclose(
        hessian(pool, found, LAMBDA, WEIGHT, gamma), (slopes[1::2] - slopes[::2]) / (2 * step),
        rtol=1e-5, atol=1e-7,
    )  # fmt: skip


def test_f_over_prompts_is_the_closed_form_within_its_standard_errors():
    z = []
    for seed in range(100, 300):
        pool, prompts = drawn(seed, (2000, 1500, 2500))
        found = estimate_within(pool, prompts, LAMBDA, WEIGHT)
        step = 1e-5
        slope = (exact(LAMBDA + step) - exact(LAMBDA - step)) / (2 * step)
        z.append(
            [
                (found.value - exact(LAMBDA)) / found.value_se,
                (found.gradient[0] - slope) / found.gradient_se[0],
            ]
        )
    spread = np.std(z, axis=0)
    assert np.all((spread > 0.85) & (spread < 1.15))
    assert np.all(np.abs(np.mean(z, axis=0)) < norm.ppf(0.9999) / math.sqrt(len(z)) + 0.1)


def test_prompts_of_other_means_are_not_mixed_up_by_tilting():
    """Across prompts exp(r2 / lambda) would favour those whose samples have large rewards."""
    pool, prompts = drawn(3)
    within = estimate_within(pool, prompts, 0.5, WEIGHT).tilts[0]
    across = estimate(pool, 0.5, WEIGHT).tilts[0]
    shares = [float(within.weights[prompts.of == c].sum()) for c in range(3)]
    np.testing.assert_allclose(shares, SHARES, rtol=1e-12)
    assert across.weights[prompts.of == 2].sum() > 2 * SHARES[2]


def test_a_sample_of_its_own_prompt_moves_no_other():
    pool, prompts = drawn(4)
    centred = estimate_within(pool, prompts, LAMBDA, WEIGHT).tilts[0].centred(pool.upper)
    upper = pool.upper.copy()
    upper[prompts.of == 0] += 5.0
    moved = estimate_within(pool, prompts, LAMBDA, WEIGHT).tilts[0].centred(upper)
    np.testing.assert_allclose(moved, centred, atol=1e-12)
