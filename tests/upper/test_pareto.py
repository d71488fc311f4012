"""Pareto k-hat agrees with arviz's and knows the tails that have none."""

import math

import numpy as np
import pytest
from arviz_stats.base import array_stats

from raybilevel.upper.pareto import pareto_k


@pytest.mark.parametrize("size", [4096, 40_000])  # where both round the tail's size alike
@pytest.mark.parametrize("heaviness", [0.1, 0.5, 0.9, 1.5])
def test_it_is_arvizs(size, heaviness):
    values = np.random.default_rng(0).pareto(1 / heaviness, size) + 1
    theirs = array_stats.pareto_khat(values, chain_axis=None, r_eff=1.0, tail="right")
    assert pareto_k(values) == pytest.approx(float(theirs), abs=1e-9)


@pytest.mark.parametrize("heaviness", [0.3, 0.7, 1.0])
def test_it_finds_the_exponent_of_a_pareto_law(heaviness):
    values = np.random.default_rng(1).pareto(1 / heaviness, 200_000) + 1
    assert pareto_k(values) == pytest.approx(heaviness, abs=0.1)


def test_it_does_not_care_for_units():
    values = np.random.default_rng(2).lognormal(0, 2, 5000)
    assert pareto_k(1e-200 * values) == pytest.approx(pareto_k(values), rel=1e-9)


@pytest.mark.parametrize(
    "values",
    [
        np.ones(1000),
        np.random.default_rng(3).integers(0, 2, 1000).astype(float),
        np.random.default_rng(3).integers(0, 10, 1000).astype(float),
        np.minimum(np.random.default_rng(3).exponential(size=1000), 0.5),
        np.append(np.zeros(990), np.arange(1.0, 11.0)),
        np.arange(20.0),
    ],
    ids=["constant", "binary", "ten states", "clipped", "nearly all zero", "too few"],
)
def test_a_constant_or_missing_tail_is_nan(values):
    assert math.isnan(pareto_k(values))
