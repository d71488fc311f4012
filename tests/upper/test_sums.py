"""Sums add, and are taken away again."""

from dataclasses import dataclass

import numpy as np

from raybilevel.upper.sums import SampleSums


@dataclass(frozen=True, eq=False)
class Two(SampleSums):
    count: float
    total: np.ndarray


def test_every_field_adds_and_is_taken_away_again():
    first, second = Two(2.0, np.array([1.0, 5.0])), Two(3.0, np.array([10.0, 20.0]))
    both = first + second
    assert isinstance(both, Two)
    assert both.count == 5
    np.testing.assert_array_equal(both.total, [11, 25])
    rest = both - second
    assert rest.count == 2
    np.testing.assert_array_equal(rest.total, first.total)
