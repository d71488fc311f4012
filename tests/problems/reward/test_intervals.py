"""Both intervals of an optimum: what each would be alone, from one estimate a point."""

import math

import numpy as np
import pytest

from raybilevel.problems.reward.intervals import intervals
from raybilevel.upper.derivatives_within import DerivativesWithin, estimate_within
from raybilevel.upper.interval import sandwich
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts

Z, SLOPES = np.array([2.0, 0.8]), np.array([2.0, 1.0])


class Points:
    """Estimates over so many prompts of 400, and how many were made."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        lower = rng.normal(size=(400 * count, 2))
        self.pool = Pool(-((lower - 0.3) ** 2).sum(axis=1), lower)
        self.prompts = Prompts(np.repeat(np.arange(count), 400), np.full(count, 1 / count))
        self.made = 0

    def __call__(self, z):
        self.made += 1
        return estimate_within(self.pool, self.prompts, 2.0, z), SLOPES


def found(points):
    whole = DerivativesWithin(points.pool, points.prompts, 2.0, Z).hessian()
    h = whole[1:, 1:] * np.outer(SLOPES, SLOPES)
    return intervals(points, [1, 2], Z, h, df=math.inf), h


def test_each_point_is_estimated_once_for_both_and_each_is_what_it_would_be_alone():
    points = Points(30)
    both, h = found(points)
    assert points.made == 1 + 2 * 2  # the optimum, and both sides of it along each eigenvector
    for interval, of, df in zip(
        both, ("gradient_influence", "gradient_influence_of_prompts"), (math.inf, 29), strict=True
    ):
        alone = sandwich(lambda z, of=of: getattr(points(z)[0], of)[:, 1:] * SLOPES, Z, h, df=df)
        np.testing.assert_array_equal(interval.low, alone.low)
        np.testing.assert_array_equal(interval.high, alone.high)


@pytest.mark.parametrize("count", [2, 19])
def test_few_prompts_say_nothing_of_prompts_like_them(count):
    (own, like), _ = found(Points(count))
    assert like is None
    assert np.all(own.low < own.high)
