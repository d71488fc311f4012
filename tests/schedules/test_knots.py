"""Log-SNR knots: the levels are the variables, and the projection on their order is exact."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, minimize

from raybilevel.errors import InputError
from raybilevel.schedules import cosine, knots


def test_the_levels_are_the_variables_in_sampling_order():
    schedule = knots(4)
    x = np.array([-8.0, -3.0, 0.0, 5.0])
    trailing = torch.tensor([1.0, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(schedule.logsnr(torch.from_numpy(x), trailing), x, atol=1e-12)
    (middle,) = np.exp(-schedule.logsnr(torch.from_numpy(x), torch.tensor([0.625])).numpy() / 2)
    assert np.arctan(middle) == pytest.approx((np.arctan(np.exp(1.5)) + np.pi / 4) / 2)
    np.testing.assert_allclose(schedule.logsnr(torch.from_numpy(x), torch.zeros(1)), [10.05])
    assert [v.name for v in schedule.variables] == [f"logsnr_{j}" for j in range(4)]


@pytest.mark.parametrize("k", [1, 5, 20])
def test_knots_on_the_cosine_schedule_are_that_schedule(k):
    theirs, x = cosine(), torch.tensor([0.0, 1.0, 1.0])  # cos(t pi / 2)^2
    knots_at = torch.arange(k, 0, -1, dtype=torch.float64) / k
    levels = theirs.logsnr(x, knots_at).tolist()
    ours = knots(k, -9.5, 15.0, init=levels)
    t = torch.linspace(0.05, 0.95, 91, dtype=torch.float64)  # eps bends it towards the ends
    expected = theirs.logsnr(x, t)
    assert (ours.logsnr(torch.from_numpy(ours.init), t) - expected).abs().max() < 0.25


@given(st.integers(2, 6), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_projection_is_that_of_a_quadratic_program(k, random):
    centres = np.sort([random.uniform(-8, 8) for _ in range(k)])
    low = [c - random.uniform(0.5, 6) for c in centres]
    high = [c + random.uniform(0.5 + 0.3 * k, 6) for c in centres]
    gap, x = 0.3, np.array([random.uniform(-14, 14) for _ in range(k)])
    schedule = knots(k, low, high, gap=gap)
    program = minimize(
        lambda y: np.square(y - x).sum(),
        schedule.init,
        jac=lambda y: 2 * (y - x),
        bounds=list(zip(low, high, strict=True)),
        constraints={
            "type": "ineq",
            "fun": lambda y: np.diff(y) - gap,
            "jac": lambda _: np.diff(np.eye(k), axis=0),
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(schedule.project(x), program.x, atol=1e-5)


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=12))
@settings(deadline=None)
def test_with_one_box_it_is_isotonic_regression_clipped(x):
    k, gap = len(x), 0.05
    shift = gap * np.arange(k)
    isotonic = isotonic_regression(np.array(x) - shift).x
    expected = np.clip(isotonic, -10.0, 10.0 - gap * (k - 1)) + shift
    np.testing.assert_allclose(knots(k).project(np.array(x)), expected, atol=1e-9)


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=12))
@settings(deadline=None)
def test_projected_levels_rise_by_the_gap(x):
    assert np.all(np.diff(knots(len(x)).project(np.array(x))) >= 0.05 - 1e-12)


def test_fit_is_exact_at_the_knots():
    t = np.arange(1, 101) / 100
    schedule, curve = knots(5), -10 * np.sqrt(t) + 5 * (1 - t)
    np.testing.assert_allclose(schedule.fit(curve, t), curve[[99, 79, 59, 39, 19]], atol=1e-12)


def test_the_first_levels_are_the_cosines():
    t = torch.arange(10, 0, -1, dtype=torch.float64) / 10
    expected = cosine().logsnr(torch.from_numpy(cosine().init), t)
    np.testing.assert_allclose(knots(10).init, expected)
    np.testing.assert_allclose(knots(2, init=[3.0, 1.0]).init, [1.975, 2.025])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: knots(0), "k 0"),
        (lambda: knots(3, gap=0.0), "gap"),
        (lambda: knots(3, low=-16.0), "low"),
        (lambda: knots(3, high=[1.0, 2.0]), "one number or 3"),
        (lambda: knots(3, init=[float("nan")] * 3), "init"),
        (lambda: knots(2, low=[0.0, -9.0], high=[5.0, -1.0]), "cross at logsnr_1"),
        (lambda: knots(500), "cross"),
        (lambda: knots(2, low=1.0, high=-1.0), "low must be less"),
    ],
)
def test_bounds_without_room_are_refused_in_one_sentence(make, says):
    with pytest.raises(InputError, match=says):
        make()
