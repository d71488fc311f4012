"""What the oracles of the annealed estimator claim, against formulas and plain Monte Carlo."""

import math

import numpy as np
import pytest
import torch

from raybilevel import RewardTuning
from raybilevel.testing.annealed_oracles import (
    ANNEALED_ORACLES,
    CHAIN,
    LEVELS,
    LINEAR,
    QUADRATIC,
    rarer_mode,
)

N = 20_000
every_oracle = pytest.mark.parametrize("oracle", ANNEALED_ORACLES, ids=lambda o: o.name)


def drawn(oracle):
    """Rewards (n,) of samples of p0, as many of each prompt in turn."""
    noise = torch.randn((N, *oracle.model.noise_shape), generator=torch.Generator().manual_seed(0))
    priced = oracle.at(0.01)
    prompts = oracle.prompts
    given = (noise,) if prompts is None else (noise, [prompts[i % 10] for i in range(N)])
    samples = oracle.model(*given)
    return priced, priced.upper_reward(samples).numpy(), priced.lower_reward(samples).numpy()


def influences(upper, lower, s):
    """Estimates of F, dF/dlambda, KL and log Z from a prompt's samples, and influences (n, 2)."""
    weights = np.exp(s * lower - np.log(np.mean(np.exp(s * lower))))
    a, b = upper - np.mean(weights * upper), lower - np.mean(weights * lower)
    covariance = np.mean(weights * a * b)
    log_z = np.log(np.mean(np.exp(s * lower)))
    found = [-np.mean(weights * upper), s**2 * covariance, s * np.mean(weights * lower) - log_z]
    rows = [-weights * a, s**2 * weights * (a * b - covariance)]
    return np.array([*found, log_z]), np.column_stack(rows)


@every_oracle
def test_what_is_known_is_what_samples_of_p0_say(oracle):
    priced, upper, lower = drawn(oracle)
    lambda_, each = oracle.lambda_at(0.7), len(oracle.samples)
    parts = [influences(upper[c::each], lower[c::each], 1 / lambda_) for c in range(each)]
    found = np.mean([f for f, _ in parts], 0)
    variances = np.mean([np.mean(rows**2, 0) for _, rows in parts], 0)
    known = priced.answers(lambda_)
    wanted = np.array([known.value_variance, known.slope_variance])
    np.testing.assert_allclose(variances, wanted, rtol=0.2)
    errors = np.array([found[0] - known.value, found[1] - known.slope]) / np.sqrt(wanted / N)
    assert np.all(np.abs(errors) < 4)
    of_log_z = math.sqrt((1 / 0.7 - 1) / N)
    assert abs(found[3] - known.log_z) < 4 * of_log_z
    assert found[2] == pytest.approx(known.kl, abs=12 * of_log_z)


@every_oracle
@pytest.mark.parametrize("level", LEVELS)
def test_the_optimum_is_where_p0_has_the_share_of_effective_samples(oracle, level):
    priced = oracle.at(level)
    best, v = priced.lambda_, priced.variable
    assert oracle.effective(best) == pytest.approx(level)
    known = priced.answers(best)
    assert abs(known.slope) < 1e-6 * math.sqrt(known.slope_variance)
    sides = np.geomspace(v.low, best / 1.05, 5), np.geomspace(best * 1.05, v.high, 5)
    slopes = [[priced.answers(x).slope for x in side] for side in sides]
    assert np.all(np.array(slopes[0]) < 0)
    assert np.all(np.array(slopes[1]) > 0)


@every_oracle
def test_the_slope_is_the_derivative_of_the_value(oracle):
    priced = oracle.at(0.01)
    x, h = 1.3 * priced.lambda_, 1e-4 * priced.lambda_
    difference = priced.answers(x + h).value - priced.answers(x - h).value
    assert priced.answers(x).slope == pytest.approx(difference / (2 * h), rel=1e-5)


def test_a_line_is_a_shifted_gaussian():
    s = math.sqrt(-math.log(0.001))  # ESS / n = exp(-s^2)
    priced = LINEAR.at(0.001)
    known = priced.answers(priced.lambda_)
    assert priced.lambda_ == pytest.approx(1 / s)
    assert (known.kl, known.log_z) == pytest.approx((s**2 / 2, s**2 / 2))
    assert priced.price == pytest.approx(-0.6 * s)
    assert known.value == pytest.approx(0.3 * (1 - s**2))
    assert known.slope_variance == pytest.approx(
        1000 * s**4 * np.mean(_influence_at_twice(s) ** 2), rel=0.05
    )


def _influence_at_twice(s):
    """Under p at 2 s, of the centred product: a = -0.3 (z - s)^2 + 0.3, b = z - s, covariance 0."""
    rng = np.random.default_rng(0)
    b = s + rng.standard_normal(100_000)
    return (0.3 - 0.3 * b**2 + 0.5 * rng.standard_normal(100_000)) * b


def test_a_bowls_log_z_is_that_of_gaussians():
    s, width, dimensions = 4.0, 2 * math.sqrt(47.5), 63
    scale = 1 + 2 * s / width
    wanted = -dimensions / 2 * math.log(scale) - s / width * 16 / scale
    assert QUADRATIC.nodes[0].log_z(s) == pytest.approx(wanted, rel=1e-9)


def test_a_chains_masses_are_those_of_its_states():
    z = np.random.default_rng(0).standard_normal((N, 63))
    states = CHAIN.model.push(z, np.zeros(N, int))[:, 0].astype(int)
    shares = np.bincount(states, minlength=25) / N
    masses = np.exp(CHAIN.nodes[0].log_mass)
    assert masses.sum() == pytest.approx(1)
    assert np.all(np.abs(shares - masses) < 4.5 * np.sqrt(masses / N) + 1 / N)


@pytest.mark.parametrize("count", [1.0, 41.0])
def test_a_rarer_mode_has_its_expected_count(count):
    ((mass, u),) = rarer_mode(count).samples
    share = np.exp(mass) @ (u[:, 0] > 3.0)
    beside = 4096 * 0.5 * math.erfc(3 / 0.6 / math.sqrt(2)) - count * 0.048  # P(N(4, 0.6) < 3)
    assert 4096 * share == pytest.approx(count + beside, rel=0.02)


@every_oracle
def test_it_is_a_problem_whose_samples_can_be_moved(oracle):
    priced = oracle.at(0.01)
    problem = RewardTuning(
        model=oracle.model, prompts=oracle.prompts, lower_reward=priced.lower_reward,
        upper_reward=priced.upper_reward, lambda_=priced.variable, estimator="annealed",
    )  # fmt: skip
    problem.check()
    assert problem.may_move
