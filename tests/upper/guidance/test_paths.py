"""Guided paths of one step, in closed form: x = eps' with eps' ~ N(s, 1) under a guidance of s.

p0 is N(0, 1) and the reward r = x, so that p_x is N(s, 1), u = x and v = 1.
"""

import numpy as np
import pytest
from scipy.stats import norm

from raybilevel.upper.guidance.paths import GuidedPaths
from raybilevel.upper.guidance.schedule import choose_schedule, schedules
from raybilevel.upper.kl import kl_estimate
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts, TiltedWithin

SCALES, EACH = (0.0, 1.0, 2.5), 400


def of_all(n):
    return Prompts(np.zeros(n, np.int64), np.ones(1))


def paths(rng):
    stratum = np.repeat(np.arange(len(SCALES)), EACH)
    x = rng.standard_normal(len(stratum)) + np.array(SCALES)[stratum]
    scales = np.array(SCALES)[:, None, None]
    return GuidedPaths(of_all(len(x)), stratum, scales, x[:, None], np.ones((len(x), 1, 1)))


def effective(found, tilt):
    return TiltedWithin(found.prompts, tilt, found.log_base).ess


def test_the_base_is_the_density_of_p0_over_that_of_the_mixture():
    found = paths(np.random.default_rng(0))
    x = found.u[:, 0]
    mixture = np.mean([norm.pdf(x, s) for s in SCALES], axis=0)
    np.testing.assert_allclose(found.log_base, np.log(norm.pdf(x) / mixture), atol=1e-12)
    assert np.exp(found.log_base).max() <= len(SCALES)


def test_the_kl_far_from_p0_is_known_with_its_error():
    errors, stated = [], []
    for seed in range(60):
        found = paths(np.random.default_rng(seed))
        kl = kl_estimate(
            Pool(found.u[:, 0], found.u, found.log_base), found.prompts, 1 / 2.5, np.ones(1)
        )
        errors.append(kl.value - 2.5**2 / 2)
        stated.append(kl.value_se)
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(60)
    assert np.sqrt(np.mean(np.square(stated))) == pytest.approx(np.std(errors), rel=0.3)


def test_prompts_have_strata_of_their_own():
    one, other = (paths(np.random.default_rng(seed)) for seed in (1, 2))
    n = len(one.stratum)
    both = GuidedPaths(
        Prompts(np.repeat([0, 1], n), np.array([0.3, 0.7])),
        np.concatenate([one.stratum, other.stratum]),
        np.concatenate([one.scales, 2 * other.scales], axis=1),
        np.concatenate([one.u, other.u / 2]),
        np.concatenate([one.v, other.v / 4]),
    )
    np.testing.assert_allclose(both.log_base[:n], one.log_base)
    np.testing.assert_allclose(both.log_base[n:], other.log_base)
    of_each = [effective(each, 2 * each.u[:, 0]) for each in (one, other)]
    together = effective(both, 2 * np.concatenate([one.u, other.u])[:, 0])
    assert together == pytest.approx(1 / (0.3**2 / of_each[0] + 0.7**2 / of_each[1]))


def test_the_schedule_is_the_strength_that_leaves_weights_even():
    """Of one step the best is 1; of a gradient that says nothing hardly any."""
    rng = np.random.default_rng(3)
    x, v = rng.standard_normal((2000, 1)), np.ones((2000, 1))
    told = choose_schedule(of_all(2000), np.array([0.5]), 0.7 * x[:, 0], 0.7 * x, 0.49 * v)
    assert told == pytest.approx(1.0, abs=0.3)
    noise = rng.standard_normal((2000, 1))
    untold = choose_schedule(of_all(2000), np.array([0.5]), x[:, 0], noise, v)
    assert untold <= 0.25
    assert not schedules(np.array([0.9, 0.1]))[0].any()
