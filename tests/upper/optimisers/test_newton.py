"""The optimiser finds minima in a box and never looks outside it or past the frontier."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybilevel.upper.optimisers.newton import Point, Termination, minimise

WIDE = np.full(2, 10.0)


class Watched:
    """A function with its derivatives that refuses where `believed` is False, and remembers."""

    def __init__(self, value, gradient, hessian, believed=lambda z: True):
        self.value, self.gradient, self.hessian = value, gradient, hessian
        self.believed, self.seen = believed, []

    def objective(self, z):
        self.seen.append(z)
        if not self.believed(z):
            return None
        return Point(self.value(z), self.gradient(z), np.array(self.hessian(z)))

    def minimise(self, z, low=-WIDE, high=WIDE, **options):
        found = minimise(self.objective, np.array(z), low, high, **options)
        for point in self.seen:
            assert np.all((point >= low) & (point <= high))
        return found


def quadratic(centre, a, **options):
    return Watched(
        lambda z: float((z - centre) @ a @ (z - centre)) / 2,
        lambda z: a @ (z - centre),
        lambda z: a,
        **options,
    )


def rosenbrock():
    return Watched(
        lambda z: (1 - z[0]) ** 2 + 100 * (z[1] - z[0] ** 2) ** 2,
        lambda z: np.array(
            [
                -2 * (1 - z[0]) - 400 * z[0] * (z[1] - z[0] ** 2),
                200 * (z[1] - z[0] ** 2),
            ]
        ),
        lambda z: [
            [2 - 400 * (z[1] - 3 * z[0] ** 2), -400 * z[0]],
            [-400 * z[0], 200.0],
        ],
    )


numbers = st.floats(-3, 3)


@settings(max_examples=40, deadline=None)
@given(numbers, numbers, st.floats(-0.9, 0.9), st.floats(0.1, 20), numbers, numbers)
def test_quadratics_are_solved_in_any_box(c0, c1, coupling, stretch, z0, z1):
    a = np.array([[1.0, coupling], [coupling, 1.0]]) * stretch
    low, high = np.full(2, -2.0), np.array([1.0, 2.0])
    f = quadratic(np.array([c0, c1]), a)
    found = f.minimise(np.clip([z0, z1], low, high), low, high)
    gradient = f.gradient(found.z)
    assert found.termination in (Termination.INTERIOR, Termination.AT_BOUND)
    # Karush-Kuhn-Tucker: no gradient where free, pointing out of the box where pinned
    projected = found.z - np.clip(found.z - gradient, low, high)
    np.testing.assert_allclose(projected, 0.0, atol=1e-6 * stretch)
    assert (found.termination is Termination.AT_BOUND) == found.pinned.any()


def test_a_curved_valley_is_followed_to_its_end():
    found = rosenbrock().minimise([-1.2, 1.0])
    assert found.termination is Termination.INTERIOR
    np.testing.assert_allclose(found.z, [1.0, 1.0], atol=1e-7)


def test_it_walks_off_a_hill_and_out_of_negative_curvature():
    f = Watched(
        lambda z: -np.cos(z[0]) + z[1] ** 2,
        lambda z: np.array([np.sin(z[0]), 2 * z[1]]),
        lambda z: np.diag([np.cos(z[0]), 2.0]),
    )
    found = f.minimise([2.8, 1.0])
    assert found.termination is Termination.INTERIOR
    np.testing.assert_allclose(found.z, [0.0, 0.0], atol=1e-7)


def test_convergence_is_quadratic():
    f = Watched(
        lambda z: float(np.exp(z[0]) - 2 * z[0]), lambda z: np.exp(z) - 2, lambda z: [np.exp(z)]
    )
    f.minimise([0.0], np.array([-9.0]), np.array([9.0]))
    errors = np.abs(np.array(f.seen)[:, 0] - np.log(2))
    started = errors[errors < 0.2]
    assert len(f.seen) < 9
    for before, after in pairwise(started):
        assert after < before**2 + 1e-7 * before + 1e-12


def test_the_frontier_is_told_with_the_point_that_was_refused():
    f = quadratic(np.array([3.0, 0.0]), np.eye(2), believed=lambda z: z[0] < 1)
    found = f.minimise([0.0, 1.0])
    assert found.termination is Termination.FRONTIER
    assert found.z[0] < 1 <= found.refused[0]
    assert found.refused[0] - found.z[0] < 1e-3


def test_the_frontier_is_reached_in_few_evaluations():
    f = quadratic(np.array([3.0, 0.3]), np.eye(2), believed=lambda z: z[0] + z[1] < 1)
    assert f.minimise([0.0, 0.0]).termination is Termination.FRONTIER
    assert len(f.seen) < 50  # 15 halvings from each of as many points would be 200


def test_what_lies_beyond_a_gap_that_cannot_be_believed_is_found():
    f = quadratic(np.array([0.9, 0.0]), np.eye(2), believed=lambda z: not 0.3 < z[0] < 0.5)
    found = f.minimise([0.29, 0.0])
    assert found.termination is Termination.INTERIOR
    wall = quadratic(np.array([5.5, 0.0]), np.eye(2), believed=lambda z: not 0.9 < z[0] < 1.4)
    assert wall.minimise([0.0, 0.0]).termination is Termination.INTERIOR


def test_a_refused_detour_does_not_hide_an_optimum():
    f = quadratic(np.array([0.9, 0.0]), np.eye(2), believed=lambda z: z[0] < 1)
    assert f.minimise([0.0, 1.0]).termination is Termination.INTERIOR


def test_a_start_that_cannot_be_believed_is_a_programming_error():
    f = quadratic(np.zeros(2), np.eye(2), believed=lambda z: False)
    with pytest.raises(AssertionError, match="begin where it can be believed"):
        f.minimise([0.0, 0.0])


def test_all_coordinates_may_end_at_bounds():
    found = quadratic(np.array([5.0, -5.0]), np.eye(2)).minimise([0.0, 0.0], -WIDE / 10, WIDE / 10)
    assert found.termination is Termination.AT_BOUND and found.pinned.all()
    np.testing.assert_array_equal(found.z, [1.0, -1.0])


def test_too_few_steps_are_told():
    assert rosenbrock().minimise([-1.2, 1.0], max_steps=3).termination is Termination.EXHAUSTED
