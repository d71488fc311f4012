"""A pool tilted within its prompts: each is what it is alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybilevel.upper.prompts import Prompts, TiltedWithin
from raybilevel.upper.tilting import Tilted


@st.composite
def pools(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    of = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    prompts = Prompts(of, rng.dirichlet(np.ones(len(sizes))))
    return prompts, 3 * rng.standard_normal(len(of)) + 20 * of, rng.standard_normal(len(of))


def alone(prompts, tilt):
    return [Tilted(tilt[prompts.of == c]) for c in range(len(prompts.shares))]


@settings(max_examples=60, deadline=None)
@given(pools())
def test_each_prompt_is_tilted_as_if_it_were_alone(drawn):
    prompts, tilt, h = drawn
    found, parts = TiltedWithin(prompts, tilt), alone(prompts, tilt)
    for c, (share, part) in enumerate(zip(prompts.shares, parts, strict=True)):
        rows = prompts.of == c
        np.testing.assert_allclose(found.weights[rows], share * part.weights, rtol=1e-12)
        assert found.kls[c] == pytest.approx(part.kl, abs=1e-11)
        assert found.means(h)[c] == pytest.approx(part.mean(h[rows]), abs=1e-11)
        np.testing.assert_allclose(found.centred(h)[rows], part.centred(h[rows]), atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(pools())
def test_the_whole_is_the_average_of_its_prompts_by_their_shares(drawn):
    prompts, tilt, h = drawn
    found, parts, shares = TiltedWithin(prompts, tilt), alone(prompts, tilt), prompts.shares
    assert found.n == len(tilt)
    assert found.kl == pytest.approx(shares @ [p.kl for p in parts], abs=1e-11)
    assert found.ess == pytest.approx(1 / (shares**2 @ [1 / p.ess for p in parts]), rel=1e-10)
    assert found.mean(h) == pytest.approx(shares @ found.means(h), abs=1e-11)
    size = shares * found.n / prompts.counts @ [math.exp(p.kl) for p in parts]
    assert found.kl_of_size == pytest.approx(math.log(size), abs=1e-11)


def test_prompts_of_other_means_are_not_mixed_up_by_tilting():
    """Across prompts exp(r2 / lambda) would favour those whose samples have large rewards."""
    rng = np.random.default_rng(3)
    prompts = Prompts(rng.permutation(np.repeat([0, 1, 2], 100)), np.array([0.5, 0.25, 0.25]))
    reward = np.array([0.0, 2.0, -1.0])[prompts.of] + rng.standard_normal(300)
    within = [TiltedWithin(prompts, 2 * reward).weights[prompts.of == c].sum() for c in range(3)]
    across = Tilted(2 * reward).weights[prompts.of == 1].sum()
    np.testing.assert_allclose(within, prompts.shares, rtol=1e-12)
    assert across > 2 * prompts.shares[1]
