"""Samples along lambda: each has the distribution of its lambda, and they change only upward."""

import numpy as np
import pytest

from raybilevel import Variable
from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.shown.along import AlongLambda, coupled
from raybilevel.upper.penalty import Pool

LAMBDAS = np.array([np.inf, 4.0, 1.0, 0.5])


@pytest.fixture(scope="module")
def drawn():
    """Six rewards, and 5,000 times which of them is shown at each lambda."""
    rng = np.random.default_rng(0)
    tilts = rng.normal(size=6)
    return tilts, np.array([coupled(tilts, LAMBDAS, rng.gumbel(size=6)) for _ in range(5000)])


def test_a_reward_does_not_fall_where_lambda_falls(drawn):
    tilts, rows = drawn
    assert np.all(np.diff(tilts[rows], axis=1) >= 0)
    stays = np.mean(rows[:, 1:] == rows[:, :-1], axis=0)
    assert stays.min() > 0.6  # where there is no reason to change


def test_what_is_shown_has_the_distribution_of_its_lambda(drawn):
    tilts, rows = drawn
    for lambda_, shown in zip(LAMBDAS, rows.T, strict=True):
        p = np.exp(tilts / lambda_) / np.exp(tilts / lambda_).sum()
        seen = np.bincount(shown, minlength=6) / len(shown)
        assert np.all(np.abs(seen - p) < 4 * np.sqrt(p * (1 - p) / len(shown)))


@pytest.mark.parametrize(("n", "low", "columns"), [(20000, 0.1, 6), (20000, 3.0, 5), (420, 0.1, 4)])
def test_lambda_goes_on_as_far_as_the_box_and_the_gates_let_it(n, low, columns):
    """At eight spreads of the reward 420 samples have an ESS of 400, and at four not."""
    rng = np.random.default_rng(1)
    lower = rng.normal(size=(n, 1))
    coefficients = Coefficients((Variable("lambda", 3.0, low, 20.0, "log"), 1.0))
    objective = PoolObjective(Pool(np.cos(lower[:, 0]), lower), coefficients)
    along = AlongLambda.of(objective, np.array([8.0]), 0, 1)
    np.testing.assert_allclose(along.lambdas[0], [np.inf, 32, 16, 8, 4, 2][:columns])
    assert np.all(np.diff(lower[along.rows[0], 0]) >= 0)
