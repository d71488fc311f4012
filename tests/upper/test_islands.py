"""Samples in islands: estimates leave one island out at a time, in closed form for Gaussians.

p0 is N(0, 1), r2 = u and r1 = u - u^2 / 5, so that p_x is N(m, 1) with m = 1 / lambda,
F = -(m - (m^2 + 1) / 5), dF/dlambda = (1 - 2 m / 5) m^2, KL = m^2 / 2 = log Z.
"""

import numpy as np
import pytest
from scipy.stats import t

from raybilevel.upper.derivatives_within import DerivativesWithin
from raybilevel.upper.island_gates import examine_islands, log_z_sd
from raybilevel.upper.island_sums import IslandSums
from raybilevel.upper.islands import Islands, degrees_of_islands
from raybilevel.upper.kl import kl_estimate
from raybilevel.upper.ladder.steps import next_steps, steps_allowed
from raybilevel.upper.ladder.strata import Strata
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts

SCALES = (0.0, 0.5, 1.0, 1.5)
ISLANDS, EACH = 16, 40
LAMBDA = 0.7


def of_all(n):
    return Prompts(np.zeros(n, dtype=np.int64), np.ones(1))


def strata(rng, wobble=0.0):
    """Exact samples of four rungs, in islands that err about Z, and move with it."""
    own = wobble * rng.standard_normal((len(SCALES), ISLANDS))
    own[0] = 0.0
    shape = (len(SCALES), ISLANDS, EACH)
    u = rng.standard_normal(shape) + np.array(SCALES)[:, None, None]
    rung, island = (
        np.broadcast_to(a, shape).ravel() for a in np.ogrid[: shape[0], : shape[1], :1][:2]
    )
    log_z = np.array(SCALES)[:, None] ** 2 / 2 + own
    scales = np.array(SCALES)[:, None, None]
    size = ISLANDS * EACH
    return Strata(of_all(u.size), island, rung, scales, log_z[:, None], u.reshape(-1, 1), size)


def pool_of(found):
    u = found.lower[:, 0]
    return Pool(u - u**2 / 5, found.lower, found.log_base)


def estimate(found, gamma=np.inf):
    return DerivativesWithin(pool_of(found), found.islands, LAMBDA, np.ones(1), gamma)


def test_estimates_are_unbiased_and_know_their_errors():
    m, errors, stated = 1 / LAMBDA, [], []
    truth = np.array([-(m - (m**2 + 1) / 5), (1 - 2 * m / 5) * m**2, m**2 / 2])
    for seed in range(60):
        found = strata(np.random.default_rng(seed), wobble=0.2)
        e = estimate(found).estimate
        kl = kl_estimate(pool_of(found), found.islands, LAMBDA, np.ones(1), found)
        errors.append(np.array([e.value, e.gradient[0], kl.value]) - truth)
        stated.append([e.value_se, e.gradient_se[0], kl.value_se])
    errors, stated = np.array(errors), np.array(stated)
    spread = errors.std(axis=0)
    assert np.all(np.abs(errors.mean(axis=0)) < 4 * spread / np.sqrt(60))
    np.testing.assert_allclose(np.sqrt((stated**2).mean(axis=0)), spread, rtol=0.35)
    covered = np.abs(errors) < t.ppf(0.975, ISLANDS - 1) * stated
    assert np.all(covered.mean(axis=0) >= 0.85)


def test_hessians_are_those_of_the_gradient():
    """Of L_gamma and F, by differences of the gradient in lambda."""
    found, h = strata(np.random.default_rng(0)), 1e-4
    pool = pool_of(found)
    for gamma in (np.inf, 5.0):
        ahead, behind = (
            DerivativesWithin(pool, found.islands, LAMBDA + d, np.ones(1), gamma) for d in (h, -h)
        )
        slope = (ahead.estimate.gradient[0] - behind.estimate.gradient[0]) / (2 * h)
        assert estimate(found, gamma).hessian()[0, 0] == pytest.approx(slope, rel=1e-5)


def test_without_an_island_sums_are_those_of_the_others_however_small():
    rng = np.random.default_rng(3)
    island = rng.permutation(np.repeat(np.arange(6), 5))
    islands = Islands(island // 3, np.array([0.5, 0.5]), island)
    tilt, rows = rng.standard_normal(30), rng.standard_normal((30, 2))
    tilt[island == 2] += 50.0  # all but that one weigh nothing
    found = IslandSums(islands, tilt[islands.order]).of(rows[islands.order])
    for i in range(6):
        kept = (island // 3 == i // 3) & (island != i)
        alone = (np.exp(tilt[kept])[:, None] * rows[kept]).sum(0)
        np.testing.assert_allclose(found.without[i] * np.exp(found.without_scale[i]), alone)


def test_a_kl_is_jackknifed_with_all_that_islands_say_of_the_rungs():
    """Leaving one out is to have drawn without it: with Z of each rung from the others alone."""
    found = strata(np.random.default_rng(4), wobble=0.5)
    without = []
    for island in range(ISLANDS):
        kept = found.island != island
        others = Strata(
            of_all(kept.sum()),
            found.island[kept] - (found.island[kept] > island),
            found.rung[kept],
            found.scales,
            np.delete(found.log_z, island, axis=2),
            found.lower[kept],
            found.size,
        )
        without.append(estimate(others).estimate.tilts[0].kl)
    whole = estimate(found).estimate.tilts[0].kl
    kl = kl_estimate(pool_of(found), found.islands, LAMBDA, np.ones(1), found)
    assert kl.value == pytest.approx(ISLANDS * whole - (ISLANDS - 1) * np.mean(without), rel=1e-10)
    squares = np.sum((without - np.mean(without)) ** 2)
    assert kl.value_se == pytest.approx(np.sqrt(squares * (ISLANDS - 1) / ISLANDS), rel=1e-8)


def test_some_prompts_alone_say_what_they_say_among_others():
    one, other = (strata(np.random.default_rng(seed)) for seed in (5, 6))
    n = len(one.rung)
    both = Strata(
        Prompts(np.repeat([0, 1], n), np.array([0.3, 0.7])),
        np.concatenate([one.island, other.island + ISLANDS]),
        np.concatenate([one.rung, other.rung]),
        np.repeat(one.scales, 2, axis=1),
        np.concatenate([one.log_z, other.log_z], axis=1),
        np.concatenate([one.lower, other.lower]),
        one.size,
    )
    alone = both.at(np.arange(n, 2 * n), np.array([1]))
    np.testing.assert_allclose(alone.log_base, both.log_base[n:])
    value = 0.3 * estimate(one).estimate.value + 0.7 * estimate(other).estimate.value
    assert estimate(both).estimate.value == pytest.approx(value, rel=1e-12)


def test_the_next_rung_is_where_the_wanted_share_of_samples_is_effective():
    u = np.random.default_rng(0).standard_normal(4000)
    sds = np.array([np.std(3.0 * u)])
    (step,) = next_steps(of_all(4000), 3.0 * u, np.array([0.9]), sds)
    w = np.exp(3.0 * step * u)
    assert w.sum() ** 2 / (w**2).sum() == pytest.approx(0.9 * 4000, rel=1e-6)
    assert next_steps(of_all(4000), 0.01 * u, np.array([0.9]), sds / 300)[0] == 1.0


def test_it_may_be_looked_for_with_samples_of_the_rung_before():
    u = np.random.default_rng(0).standard_normal(40_000)
    sds = np.array([np.std(3.0 * u)])
    (step,) = next_steps(of_all(len(u)), 3.0 * u, np.array([0.9]), sds, 0.3 * u)
    w, base = np.exp(3.0 * step * u), np.exp(0.3 * u)
    assert (base @ w) ** 2 / (base.sum() * (base @ w**2)) == pytest.approx(0.9, rel=1e-6)
    # a Gaussian's share of effective samples is exp(-variance of the tilt) wherever it is
    assert (3.0 * step) ** 2 == pytest.approx(-np.log(0.9), rel=0.05)


def test_prompts_go_as_far_in_their_own_spreads_and_none_farther_than_its_samples_let_it():
    rng, n, sds = np.random.default_rng(0), 400, np.append(0.0, np.linspace(1.0, 3.0, 20))
    tilt = np.repeat(sds, n) * rng.standard_normal(21 * n)
    prompts = Prompts(np.repeat(np.arange(21), n), np.full(21, 1 / 21))

    def effective(steps):
        w = np.exp(steps[prompts.of] * tilt).reshape(21, n)
        return w.sum(1) ** 2 / (w**2).sum(1) / n

    steps = next_steps(prompts, tilt, np.full(21, 0.9), sds)
    assert steps[0] == 1.0
    assert np.ptp(steps[1:] * sds[1:]) < 1e-12
    assert np.mean(effective(steps)[1:]) == pytest.approx(0.9)
    tilt[n] = 60.0  # it would weigh all that its prompt has
    steps = next_steps(prompts, tilt, np.full(21, 0.9), sds)
    allowed = steps_allowed(prompts, tilt, np.full(21, 0.9))
    assert effective(allowed)[1] == pytest.approx(0.9 * 0.72)
    assert allowed[1] < 0.5 * steps[1]
    assert (allowed[2:] > steps[2:]).all()


def test_gates_refuse_what_no_rung_reaches_and_islands_that_disagree():
    near = strata(np.random.default_rng(0))
    assert examine_islands(estimate(near).estimate, near).ok
    far = DerivativesWithin(pool_of(near), near.islands, 0.3, np.ones(1)).estimate
    (failure,) = examine_islands(far, near).failures
    assert "of the nearest rung's samples count" in failure
    split = strata(np.random.default_rng(0), wobble=4.0)
    found = examine_islands(estimate(split).estimate, split)
    assert found.log_z_sd == log_z_sd(estimate(split).estimate.tilts[0], split.islands) > 1.0
    assert "islands disagree about log Z" in found.failures[0]
    assert np.isnan(found.ess)
    assert np.isnan(found.pareto_k)


def test_a_variance_that_one_island_carries_has_few_degrees_of_freedom():
    degrees = degrees_of_islands(of_all(16))
    even = np.tile([-1.0, 1.0], 8)[:, None]
    one = even.copy()
    one[3] = 20.0
    assert degrees(even)[0] == 7.5
    assert 1.0 <= degrees(one)[0] < 2.5
