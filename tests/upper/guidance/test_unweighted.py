"""What guided paths say without weights: means within prompts, and how sure they are."""

import numpy as np
import pytest

from raybilevel.upper.guidance.unweighted import PathsAlone, mean_within, unweighted
from raybilevel.upper.prompts import Prompts


def paths(rng, n, shift=0.0):
    upper, lower = rng.normal(1, 2, n), rng.normal(shift, 1, (n, 2))
    return PathsAlone(upper, lower, rng.exponential(1 + shift, n))


def test_the_gradient_is_gamma_times_what_lies_between_the_two():
    rng = np.random.default_rng(0)
    plain, penalised = paths(rng, 6), paths(rng, 6, 0.5)
    of = Prompts(np.array([1, 0, 0, 1, 0, 0]), np.array([0.25, 0.75]))
    found = unweighted(of, plain, penalised, 8.0)
    means = lambda h: 0.25 * h[[1, 2, 4, 5]].mean(0) + 0.75 * h[[0, 3]].mean(0)  # noqa: E731
    assert found.value == pytest.approx(-means(plain.upper))
    assert mean_within(of, plain.kl) == pytest.approx(means(plain.kl))
    assert found.gradient[0] == pytest.approx(8 * (means(penalised.kl) - means(plain.kl)))
    between = means(penalised.lower) - means(plain.lower)
    np.testing.assert_allclose(found.gradient[1:], -8 * between)


def test_standard_errors_are_those_of_strata():
    rng = np.random.default_rng(1)
    of = Prompts(np.repeat([0, 1], [5, 20]), np.array([0.5, 0.5]))
    found, errors = [], []
    for _ in range(2000):
        answer = unweighted(of, paths(rng, 25), paths(rng, 25, 0.5), 3.0)
        found.append([answer.value, *answer.gradient])
        errors.append([answer.value_se, *answer.gradient_se])
    spread, stated = np.std(found, axis=0), np.sqrt(np.mean(np.square(errors), axis=0))
    np.testing.assert_allclose(stated / spread, 1, atol=0.06)
