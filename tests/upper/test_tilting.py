"""Tilted pools are softmax-weighted pools, at every size and offset of the tilt."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raybilevel.upper.tilting import Tilted

tilts = arrays(np.float64, st.integers(1, 50), elements=st.floats(-20, 20))


@given(tilts)
def test_everything_agrees_with_the_definitions(tilt):
    p = Tilted(tilt)
    weights = np.exp(tilt) / np.exp(tilt).sum()
    np.testing.assert_allclose(p.weights, weights, rtol=1e-12)
    assert p.log_z == pytest.approx(np.log(np.mean(np.exp(tilt))), abs=1e-12)
    kl = np.sum(weights * np.log(weights * len(tilt)))
    assert p.kl == pytest.approx(max(kl, 0.0), abs=1e-11)
    assert p.mean(tilt) == pytest.approx(weights @ tilt, abs=1e-11)
    np.testing.assert_allclose(p.mean(np.column_stack([tilt, 2 * tilt]))[1], 2 * p.mean(tilt))


@given(tilts)
def test_ess_and_kl_stay_in_their_ranges(tilt):
    p, n = Tilted(tilt), len(tilt)
    assert 1 - 1e-9 <= p.ess <= n * (1 + 1e-9)
    assert 0 <= p.kl <= np.log(n) + 1e-9


@given(tilts, st.floats(-1e6, 1e6))
def test_a_constant_added_to_the_reward_changes_nothing(tilt, constant):
    p, q = Tilted(tilt), Tilted(tilt + constant)
    np.testing.assert_allclose(q.weights, p.weights, rtol=1e-8)
    assert q.kl == pytest.approx(p.kl, abs=1e-7)


def test_tilts_beyond_the_range_of_exp_are_fine():
    p = Tilted(np.array([0.0, 5000.0, 5000.0]))
    np.testing.assert_array_equal(p.weights, [0.0, 0.5, 0.5])
    assert p.ess == pytest.approx(2.0)
    assert p.kl == pytest.approx(np.log(3 / 2))
    assert p.log_z == pytest.approx(5000 + np.log(2 / 3))


def test_no_tilt_is_the_pool_itself():
    p = Tilted(np.full(7, 3.0))
    assert (p.ess, p.kl) == (pytest.approx(7.0), pytest.approx(0.0, abs=1e-15))
