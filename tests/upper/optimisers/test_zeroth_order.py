"""Two-point gradients: exact where they can be, unbiased elsewhere, and inside the box."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybilevel.errors import InputError
from raybilevel.upper.optimisers.zeroth_order import Pairs, draw_directions

seeds = st.integers(0, 2**32 - 1)


def values(f, pairs):
    return np.array([f(point) for point in pairs.points])


@given(st.integers(1, 12), st.data(), seeds)
@settings(deadline=None)
def test_orthogonal_directions_are_unit_and_orthogonal(d, data, seed):
    m = data.draw(st.integers(1, d))
    rows = draw_directions(np.random.default_rng(seed), m, d)
    assert rows.shape == (m, d)
    np.testing.assert_allclose(rows @ rows.T, np.eye(m), atol=1e-12)


@given(st.integers(1, 12), st.integers(1, 30), seeds)
@settings(deadline=None)
def test_independent_directions_are_unit_and_as_many_as_asked_for(d, m, seed):
    rows = draw_directions(np.random.default_rng(seed), m, d, "independent")
    assert rows.shape == (m, d)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0)


def test_more_orthogonal_directions_than_variables_are_refused():
    with pytest.raises(InputError, match=r"5 directions cannot be orthogonal among 4 .* ask for 4"):
        draw_directions(np.random.default_rng(0), 5, 4)


@pytest.mark.parametrize("kind", ["orthogonal", "independent"])
def test_directions_are_uniform_on_the_sphere(kind):
    """Mean 0, covariance I/d, and the fourth moments of a uniform direction: 3 / (d (d + 2))."""
    rng, d, draws = np.random.default_rng(1), 3, 20_000
    # each row of a rotation by itself: signs left to QR's habits would show in some of them
    rows = np.stack([draw_directions(rng, 3, d, kind) for _ in range(draws)])
    for u in rows.swapaxes(0, 1):
        assert np.abs(u.mean(axis=0)).max() < 4 / np.sqrt(d * draws)
        np.testing.assert_allclose(u.T @ u / draws, np.eye(d) / d, atol=4 * 0.3 / np.sqrt(draws))
        expected = 3 / (d * (d + 2))
        np.testing.assert_allclose((u**4).mean(axis=0), expected, atol=4 * 0.27 / np.sqrt(draws))


boxes = st.integers(1, 6).flatmap(
    lambda d: st.tuples(
        st.lists(st.floats(-5, 5), min_size=d, max_size=d),
        st.lists(st.floats(0.03, 10), min_size=d, max_size=d),
        st.lists(st.floats(0, 1), min_size=d, max_size=d),
    )
)


@given(boxes, st.floats(1e-4, 0.01), seeds)
@settings(deadline=None)
def test_every_point_is_in_the_box_and_only_the_centre_has_moved(box, delta, seed):
    low, width, share = map(np.array, box)
    high, z, d = low + width, low + share * width, len(low)
    rows = draw_directions(np.random.default_rng(seed), d, d)
    pairs = Pairs.inside(z, rows, delta, low, high)
    assert np.all((pairs.points >= low - 1e-12) & (pairs.points <= high + 1e-12))
    assert np.abs(pairs.centre - z).max() <= delta * (1 + 1e-9)
    room = (z >= low + delta) & (z <= high - delta)
    np.testing.assert_array_equal(pairs.centre[room], z[room])
    plus, minus = pairs.points[0::2], pairs.points[1::2]
    np.testing.assert_allclose(plus - minus, 2 * delta * rows, atol=1e-12)
    np.testing.assert_allclose((plus + minus) / 2, np.tile(pairs.centre, (d, 1)), atol=1e-12)


def test_at_a_bound_the_gradient_is_that_at_the_moved_centre():
    """A pair with one side clipped to the bound would be told half the slope."""
    low, high, delta = np.zeros(2), np.ones(2), 0.05
    pairs = Pairs.inside(np.array([1.0, 0.4]), np.eye(2), delta, low, high)
    np.testing.assert_allclose(pairs.centre, [0.95, 0.4])
    gradient = pairs.gradient(values(lambda z: 3 * z[0] ** 2 - z[1], pairs))
    np.testing.assert_allclose(gradient, [6 * 0.95, -1.0])


@given(st.integers(1, 8), st.floats(1e-3, 1.0), seeds)
@settings(deadline=None)
def test_as_many_directions_as_variables_give_a_quadratics_gradient_in_any_rotation(d, delta, seed):
    rng = np.random.default_rng(seed)
    A, b, c, z = rng.standard_normal((d, d)), rng.standard_normal(d), 2.0, rng.standard_normal(d)
    pairs = Pairs(z, draw_directions(rng, d, d), delta)
    gradient = pairs.gradient(values(lambda z: z @ A @ z + b @ z + c, pairs))
    np.testing.assert_allclose(gradient, (A + A.T) @ z + b, atol=1e-9 / delta)


class Cubic:
    """g . z + (a . z)^3: the gradient of its average over a ball of radius delta is known."""

    g, a = np.array([1.0, -2.0, 0.5, 0.0, 3.0]), np.array([0.6, 0.4, -0.8, 1.0, 0.2])
    z, delta = np.array([0.3, -0.2, 0.5, 0.7, 0.1]), 0.5

    def __call__(self, z):
        return self.g @ z + (self.a @ z) ** 3

    @property
    def gradient(self):
        return self.g + 3 * (self.a @ self.z) ** 2 * self.a

    @property
    def smoothed(self):
        """E (a . b)^2 = |a|^2 / (d + 2) for b uniform in the unit ball."""
        more = self.delta**2 * (self.a @ self.a) / (len(self.z) + 2)
        return self.gradient + 3 * more * self.a


@pytest.mark.parametrize(("kind", "m"), [("orthogonal", 2), ("orthogonal", 5), ("independent", 2)])
def test_the_mean_over_directions_is_the_gradient_of_the_smoothed_function(kind, m):
    f, rng, draws = Cubic(), np.random.default_rng(7), 4000
    found = []
    for _ in range(draws):
        pairs = Pairs(f.z, draw_directions(rng, m, len(f.z), kind), f.delta)
        found.append(pairs.gradient(values(f, pairs)))
    error = np.std(found, axis=0, ddof=1) / np.sqrt(draws)
    assert np.all(np.abs(np.mean(found, axis=0) - f.smoothed) < 3 * error)
    if m == 5:  # so sure that it can tell the smoothed gradient from the plain one
        assert np.any(np.abs(f.smoothed - f.gradient) > 10 * error)


def test_the_variance_of_independent_directions_falls_like_one_over_m():
    f, rng, numbers = Cubic(), np.random.default_rng(2), [1, 2, 4, 8, 16, 32]
    variances = []
    for m in numbers:
        found = []
        for _ in range(400):
            pairs = Pairs(f.z, draw_directions(rng, m, len(f.z), "independent"), 1e-3)
            found.append(pairs.gradient(values(f, pairs)))
        variances.append(np.var(found, axis=0, ddof=1).sum())
    slope = np.polyfit(np.log(numbers), np.log(variances), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.1)


def test_orthogonal_directions_beat_the_one_over_m_law():
    """With m of d orthogonal directions of a linear function: (d - m) / (d - 1) of it."""
    g, rng, d, m = np.array([1.0, -2.0, 0.5, 3.0]), np.random.default_rng(4), 4, 2
    spread = {}
    for kind in ("orthogonal", "independent"):
        found = []
        for _ in range(4000):
            pairs = Pairs(np.zeros(d), draw_directions(rng, m, d, kind), 0.1)
            found.append(pairs.gradient(values(lambda z: g @ z, pairs)))
        spread[kind] = np.var(found, axis=0, ddof=1).sum()
    assert spread["orthogonal"] / spread["independent"] == pytest.approx(2 / 3, rel=0.1)


@given(st.sampled_from(["orthogonal", "independent"]), st.integers(1, 5), seeds)
@settings(deadline=None)
def test_what_is_even_about_the_centre_cancels(kind, m, seed):
    rng, d = np.random.default_rng(seed), 5
    z, w = rng.standard_normal(d), rng.standard_normal((3, d))
    pairs = Pairs(z, draw_directions(rng, m, d, kind), 0.3)

    def odd(x):
        return np.sin(w @ (x - z)).sum()

    def even(x):
        return 10 * np.cos(w @ (x - z)).sum() + np.sum((x - z) ** 4) + 7

    both = pairs.gradient(values(lambda x: odd(x) + even(x), pairs))
    np.testing.assert_allclose(both, pairs.gradient(values(odd, pairs)), atol=1e-11)
