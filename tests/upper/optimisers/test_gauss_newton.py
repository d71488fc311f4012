"""Gauss-Newton steps against problems whose minimum is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from raybilevel.upper.optimisers.gauss_newton import ResidualSums, damped_step

FAR = np.full(3, 10.0)


def linear(seed, n=40, width=5, d=3):
    """Residuals A_i u - b_i of samples: (n, width, d), (n, width)."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, width, d)), rng.standard_normal((n, width))


def sums_at(u, slopes, targets):
    r = slopes @ u - targets
    return ResidualSums(
        len(r),
        np.einsum("nwd,nw->d", slopes, r),
        np.einsum("nwd,nwe->de", slopes, slopes),
    )


def mean_square(u, slopes, targets):
    return float(np.mean(np.sum((slopes @ u - targets) ** 2, axis=1)))


@given(st.integers(0, 99))
def test_the_gradient_is_that_of_the_mean_of_squares(seed):
    problem, u = linear(seed), np.array([0.3, -0.2, 1.0])
    sums = sums_at(u, *problem)
    for i, e in enumerate(np.eye(3) * 1e-5):
        slope = (mean_square(u + e, *problem) - mean_square(u - e, *problem)) / 2e-5
        assert sums.gradient[i] == pytest.approx(slope, abs=1e-6)


@given(st.integers(0, 99))
def test_of_linear_residuals_one_step_is_the_whole_way(seed):
    problem = linear(seed)
    sums = sums_at(np.zeros(3), *problem)
    step = damped_step(sums, 1e-12, -FAR, FAR)
    best = np.linalg.lstsq(problem[0].reshape(-1, 3), problem[1].ravel(), rcond=None)[0]
    np.testing.assert_allclose(step, best, rtol=1e-6, atol=1e-9)
    change = mean_square(step, *problem) - mean_square(np.zeros(3), *problem)
    assert sums.changes(step[None])[0] == pytest.approx(change)


@given(st.integers(0, 99), st.floats(0.01, 0.3))
def test_a_step_in_a_box_is_the_best_of_the_box(seed, size):
    sums = sums_at(np.zeros(3), *linear(seed))
    step = damped_step(sums, 1e-9, np.full(3, -size), np.full(3, size))
    found = minimize(
        lambda u: sums.changes(u[None])[0], np.zeros(3), bounds=[(-size, size)] * 3, tol=1e-12
    )
    assert sums.changes(step[None])[0] <= found.fun + 1e-9
    assert np.abs(step).max() <= size


@given(st.integers(0, 99))
def test_more_damping_is_a_shorter_step_and_each_goes_down(seed):
    sums = sums_at(np.zeros(3), *linear(seed))
    steps = [damped_step(sums, damping, -FAR, FAR) for damping in (0.01, 1.0, 100.0)]
    assert sorted((float(np.linalg.norm(s)) for s in steps), reverse=True) == [
        float(np.linalg.norm(s)) for s in steps
    ]
    assert np.all(sums.changes(np.array(steps)) < 0)


def test_steps_do_not_depend_on_what_variables_are_measured_in():
    slopes, targets = linear(3)
    scale = np.array([1e-3, 1.0, 1e3])
    plain = damped_step(sums_at(np.zeros(3), slopes, targets), 0.5, -FAR, FAR)
    scaled = damped_step(
        sums_at(np.zeros(3), slopes * scale, targets), 0.5, -FAR / scale, FAR / scale
    )
    np.testing.assert_allclose(scaled * scale, plain, rtol=1e-8)


def test_a_variable_that_no_residual_heeds_stays():
    slopes, targets = linear(1)
    slopes = slopes * np.array([1.0, 0.0, 1.0])
    step = damped_step(sums_at(np.zeros(3), slopes, targets), 0.01, -FAR, FAR)
    assert step[1] == 0
    assert np.all(step[[0, 2]] != 0)


def test_a_variable_at_its_bound_leaves_the_others_free():
    problem = linear(2)
    sums = sums_at(np.zeros(3), *problem)
    free = damped_step(sums, 1e-9, -FAR, FAR)
    low, high = -FAR.copy(), FAR.copy()
    (low if free[0] < 0 else high)[0] = 0.0
    step = damped_step(sums, 1e-9, low, high)
    assert step[0] == pytest.approx(0, abs=1e-15)
    rest = np.linalg.lstsq(problem[0][:, :, 1:].reshape(-1, 2), problem[1].ravel(), rcond=None)[0]
    np.testing.assert_allclose(step[1:], rest, rtol=1e-6)


def test_sums_of_parts_add_up_and_come_apart():
    slopes, targets = linear(5)
    whole = sums_at(np.ones(3), slopes, targets)
    first, rest = (sums_at(np.ones(3), slopes[p], targets[p]) for p in (slice(9), slice(9, None)))
    for both in (first + rest, (whole - rest) + rest):
        assert both.count == whole.count
        np.testing.assert_allclose(both.gradient, whole.gradient)
        np.testing.assert_allclose(both.curvatures, whole.curvatures)
