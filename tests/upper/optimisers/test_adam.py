"""Projected Adam steps by its size, whatever the gradient's, and stays in its box."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raybilevel.upper.optimisers.adam import _BETAS, Adam, cosine_decay

gradients = arrays(
    np.float64, st.integers(1, 6), elements=st.floats(1e-3, 1e6).flatmap(
        lambda size: st.sampled_from([size, -size])
    )
)  # fmt: skip


def free(z):
    return z


def unit(z):
    return np.clip(z, 0.0, 1.0)


@given(gradients, st.floats(1e-4, 0.5))
def test_the_first_step_has_its_size_in_each_coordinate_against_the_gradient(gradient, size):
    z = np.linspace(-1.0, 1.0, len(gradient))
    moved = Adam.begin(z).step(gradient, size, free)
    np.testing.assert_allclose(moved.z - z, -size * np.sign(gradient), rtol=1e-5, atol=1e-12)
    assert moved.steps == 1


@given(st.floats(1e-2, 1e6), st.integers(0, 2**32 - 1))
def test_the_steps_do_not_depend_on_the_gradients_scale(scale, seed):
    gradients = 1.0 + np.random.default_rng(seed).standard_normal((8, 3))
    plain = scaled = Adam.begin(np.zeros(3))
    for gradient in gradients:
        plain = plain.step(gradient, 0.1, free)
        scaled = scaled.step(scale * gradient, 0.1, free)
    np.testing.assert_allclose(scaled.z, plain.z, rtol=0, atol=1e-4)


def test_no_gradient_no_step():
    z = np.array([0.2, 0.4])
    np.testing.assert_array_equal(Adam.begin(z).step(np.zeros(2), 0.1, free).z, z)


def test_it_is_adam_as_published():
    """Algorithm 1 of Kingma & Ba, written out, with the corrections for the short past."""
    gradients, (b1, b2) = np.random.default_rng(3).standard_normal((6, 4)), _BETAS
    adam, z, m, v = Adam.begin(np.zeros(4)), np.zeros(4), np.zeros(4), np.zeros(4)
    for t, g in enumerate(gradients, start=1):
        adam = adam.step(g, 0.05, free)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        z = z - 0.05 * (m / (1 - b1**t)) / np.sqrt(v / (1 - b2**t))
    np.testing.assert_allclose(adam.z, z, rtol=1e-6)
    np.testing.assert_allclose([adam.mean, adam.square], [m, v])


@pytest.mark.parametrize("target", [[0.3, 0.8, 0.55], [0.3, 1.7, -0.4]])
def test_a_quadratic_is_solved_inside_its_box_with_a_decaying_step(target):
    """Curvatures of 1 to 100, and minima outside the box: their nearest points in it."""
    target, curvature, steps = np.array(target), np.array([1.0, 10.0, 100.0]), 60
    adam = Adam.begin(np.full(3, 0.5))
    for step in range(steps):
        size = 0.05 * cosine_decay(step, steps)
        adam = adam.step(curvature * (adam.z - target), size, unit)
        assert np.all((adam.z >= 0) & (adam.z <= 1))
    np.testing.assert_allclose(adam.z, unit(target), atol=5e-3)


def test_the_projection_has_the_last_word_but_the_past_is_that_of_the_gradients():
    begun, gradient = Adam.begin(np.array([0.99, 0.5])), np.array([-1.0, 1.0])
    inside, outside = begun.step(gradient, 0.1, unit), begun.step(gradient, 0.1, free)
    np.testing.assert_allclose(outside.z, [1.09, 0.4])
    np.testing.assert_allclose(inside.z, [1.0, 0.4])
    np.testing.assert_array_equal(inside.mean, outside.mean)
    np.testing.assert_array_equal(inside.square, outside.square)


def test_a_search_goes_on_to_the_bit_from_its_arrays():
    gradients = np.random.default_rng(0).standard_normal((7, 5))
    straight = Adam.begin(np.zeros(5))
    for gradient in gradients:
        straight = straight.step(gradient, 0.1, unit)
    resumed = Adam.begin(np.zeros(5))
    for gradient in gradients:
        resumed = resumed.step(gradient, 0.1, unit)
        stored = {name: np.array(value) for name, value in vars(resumed).items()}
        steps = int(stored.pop("steps"))
        resumed = Adam(**stored, steps=steps)
    assert resumed.steps == straight.steps
    for name in ("z", "mean", "square"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(straight, name))


def test_a_step_leaves_the_state_before_it_alone():
    before = Adam.begin(np.array([0.5]))
    before.step(np.array([1.0]), 0.1, unit)
    assert (before.z[0], before.mean[0], before.square[0], before.steps) == (0.5, 0.0, 0.0, 0)


def test_cosine_decay_falls_from_one_to_zero():
    shares = [cosine_decay(step, 20) for step in range(21)]
    assert shares[0] == 1.0
    assert shares[10] == pytest.approx(0.5)
    assert shares[20] == pytest.approx(0.0, abs=1e-15)
    assert np.all(np.diff(shares) < 0)
