"""Every schedule, at every admissible parameter: what its levels, betas and derivatives must be."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from raybilevel.errors import InputError
from raybilevel.schedules import LOGSNR_FLOOR, cosine, knots, logsnr_of, sigmoid
from raybilevel.upper.variables import Box, Variable

WIDE_COSINE = {
    "start": Variable("start", 0.2, 0.0, 0.59),
    "end": Variable("end", 1.0, 0.6, 1.0),
    "tau": Variable("tau", 1.0, 0.5, 10.0, "log"),
    "eps": Variable("eps", 1e-4, 1e-6, 0.099, "log"),
}
WIDE_SIGMOID = {
    "start": Variable("start", -3.0, -20.0, -0.005),
    "end": Variable("end", 3.0, 0.005, 20.0),
}
SCHEDULES = {
    "cosine": cosine(),
    "cosine, wide": cosine(**WIDE_COSINE),
    "cosine, zero": cosine(zero_terminal_snr=True),
    "cosine, wide, zero": cosine(**WIDE_COSINE, zero_terminal_snr=True),
    "sigmoid": sigmoid(),
    "sigmoid, wide": sigmoid(**WIDE_SIGMOID),
    "sigmoid, tau": sigmoid(-3.0, 3.0, Variable("tau", 1.0, 0.15, 100.0, "log")),
    "sigmoid, wide, zero": sigmoid(**WIDE_SIGMOID, zero_terminal_snr=True),
    "knots": knots(10),
    "knots, one": knots(1),
    "knots, wide": knots(5, -15.0, 15.0, gap=1e-3),
    "knots, own bounds": knots(3, [-9.0, -4.0, 1.0], [-5.0, 2.0, 6.0]),
    "knots, zero": knots(5, zero_terminal_snr=True),
}


@st.composite
def points(draw, names=tuple(SCHEDULES)):
    """A schedule and admissible parameters, corners of the box often among them."""
    schedule = SCHEDULES[draw(st.sampled_from(names))]
    box = Box(schedule.variables)
    place = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
    shares = np.array([draw(place) for _ in schedule.variables])
    return schedule, schedule.project(box.from_scaled(box.low + shares * (box.high - box.low)))


def grid(steps):
    return torch.arange(1, steps + 1, dtype=torch.float64) / steps


def levels(schedule, x, steps):
    return schedule.alphas_cumprod(torch.from_numpy(x), grid(steps)).numpy()


@given(points(), st.sampled_from([10, 100, 1000]))
@settings(deadline=None)
def test_abar_falls_strictly_inside_0_and_1(point, steps):
    schedule, x = point
    abar = levels(schedule, x, steps)
    assert np.all(np.diff(abar) < 0)
    assert abar[0] < 1
    assert abar[-1] == 0 if schedule.zero_terminal_snr else abar[-1] > 0


@given(points(), st.sampled_from([1, 10, 1000]))
@settings(deadline=None)
def test_betas_are_in_0_and_1_and_multiply_up_to_abar(point, steps):
    schedule, x = point
    betas = schedule.betas(x, steps)
    assert betas.dtype == np.float64
    assert betas.shape == (steps,)
    assert np.all(betas > 0)
    assert np.all(betas[:-1] < 1)
    assert betas[-1] == 1 if schedule.zero_terminal_snr else betas[-1] < 1
    np.testing.assert_allclose(np.cumprod(1 - betas), levels(schedule, x, steps), rtol=1e-8)


@given(points())
@settings(deadline=None)
def test_logsnr_is_that_of_abar(point):
    schedule, x = point
    logsnr = schedule.logsnr(torch.from_numpy(x), grid(100))
    assert logsnr.dtype == torch.float64
    assert logsnr.min() >= LOGSNR_FLOOR - 1e-9
    expected = logsnr_of(torch.from_numpy(levels(schedule, x, 100)))
    np.testing.assert_allclose(logsnr, expected, atol=1e-6)


@given(points())
@settings(deadline=None, max_examples=60)
def test_derivatives_agree_in_both_modes_with_differences(point):
    schedule, x = point
    box = Box(schedule.variables)
    inside = box.from_scaled(0.8 * box.to_scaled(x) + 0.1 * (box.low + box.high))
    x, t = torch.from_numpy(inside), torch.cat([grid(7), torch.tensor([0.003, 0.5, 0.95])])
    steps = torch.from_numpy(3e-6 * box.slopes(inside) * (box.high - box.low))
    for function in (schedule.logsnr, schedule.alphas_cumprod):
        forward = torch.func.jacfwd(lambda x, f=function: f(x, t))(x)
        reverse = torch.func.jacrev(lambda x, f=function: f(x, t))(x)
        torch.testing.assert_close(forward, reverse, rtol=1e-9, atol=1e-9)
        for j, step in enumerate(steps):
            e = torch.nn.functional.one_hot(torch.tensor(j), len(x)) * step
            difference = (function(x + e, t) - function(x - e, t)) / (2 * step)
            torch.testing.assert_close(forward[:, j], difference, rtol=1e-3, atol=1e-4)


@given(points())
@settings(deadline=None)
def test_derivatives_are_finite_everywhere(point):
    schedule, x = point
    x = torch.from_numpy(x).requires_grad_()
    t = torch.cat([torch.zeros(1), grid(9)])
    for function in (schedule.logsnr, schedule.alphas_cumprod):
        (gradient,) = torch.autograd.grad(function(x, t).sum(), x)
        assert gradient.isfinite().all()
        _, tangent = torch.func.jvp(lambda x, f=function: f(x, t), (x,), (torch.ones_like(x),))
        torch.testing.assert_close(tangent.sum(), gradient.sum(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_float32_parameters_and_times_give_float64_levels(name):
    schedule = SCHEDULES[name]
    x = torch.tensor(schedule.init, dtype=torch.float32)
    abar, tangent = torch.func.jvp(
        lambda x: schedule.alphas_cumprod(x, torch.rand(5)), (x,), (torch.ones_like(x),)
    )
    assert abar.dtype == torch.float64
    assert tangent.dtype in {torch.float32, torch.float64}


@given(points(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_projection_is_admissible_idempotent_and_nearest(point, seed):
    schedule, other = point
    rng = np.random.default_rng(seed)
    init, width = np.array([(v.init, v.high - v.low) for v in schedule.variables]).T
    x = schedule.project(rng.normal(init, width))
    assert all(v.low <= a <= v.high for v, a in zip(schedule.variables, x, strict=True))
    np.testing.assert_allclose(schedule.project(x), x, rtol=0, atol=1e-12)
    far = x + rng.normal(0, width)
    near = schedule.project(far)
    assert (far - near) @ (other - near) <= 1e-9 * (1 + np.linalg.norm(far))  # obtuse: nearest


@given(points(), st.sampled_from([10, 1000]))
@settings(deadline=None, max_examples=40)
def test_stock_ddim_walks_the_same_levels(point, steps):
    schedule, x = point
    scheduler = DDIMScheduler.from_config(schedule.scheduler_config(x, steps))
    abar = scheduler.alphas_cumprod.double().numpy()
    # The stock rescaling to zero SNR multiplies up in float32 once more.
    tolerance = 2e-5 if schedule.zero_terminal_snr else 2e-7
    np.testing.assert_allclose(abar, levels(schedule, x, steps), rtol=0, atol=tolerance)


@pytest.mark.parametrize("stock", [DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler])
@pytest.mark.parametrize("name", SCHEDULES)
def test_stock_schedulers_sample_with_the_config(name, stock):
    schedule = SCHEDULES[name]
    config = schedule.scheduler_config(schedule.init, 100)
    assert all(type(beta) is float and 0 < beta <= 1 for beta in config["trained_betas"])
    scheduler = stock.from_config(
        {**config, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    )
    scheduler.set_timesteps(5)
    x = torch.zeros(1, 1, 2, 2)
    for t in scheduler.timesteps:
        x = scheduler.step(torch.zeros_like(x) + 0.1, t, x).prev_sample
    assert x.isfinite().all()


@given(points())
@settings(deadline=None, max_examples=20)
def test_fit_to_the_stock_config_finds_the_levels_again(point):
    schedule, x = point
    has_knots = "logsnr_0" in {v.name for v in schedule.variables}
    steps = 200 * len(x) if has_knots else 1000  # between the steps nobody knows where a knot was
    y = schedule.from_config(schedule.scheduler_config(x, steps))
    at = grid(len(x)) if has_knots else grid(1000)
    got, want = (schedule.logsnr(torch.from_numpy(p), at).numpy() for p in (x, y))
    coarse = 1e-7 * np.exp(np.maximum(got, want))  # float32 tells no finer where abar is nearly 1
    assert np.all(np.abs(got - want) <= 0.02 + coarse)


@pytest.mark.parametrize(
    ("schedule", "x"),
    [
        (cosine(), [0.1, 0.8, 1.7]),
        (cosine(), [0.0, 1.0, 1.0]),
        (cosine(**WIDE_COSINE), [0.3, 0.9, 1.5, 1e-3]),
        (cosine(zero_terminal_snr=True), [0.1, 0.8, 1.7]),
        (sigmoid(), [-2.0, 5.0]),
        (sigmoid(zero_terminal_snr=True), [-2.0, 5.0]),
        (knots(4), [-7.0, -3.0, 0.5, 4.0]),
    ],
)
def test_fit_to_the_stock_config_finds_the_parameters_again(schedule, x):
    y = schedule.from_config(schedule.scheduler_config(np.array(x), 1000))
    np.testing.assert_allclose(y, x, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_zero_terminal_snr_refuses_noise_prediction_alone(prediction):
    cosine().check_prediction(prediction)
    if prediction != "epsilon":
        cosine(zero_terminal_snr=True).check_prediction(prediction)
        return
    with pytest.raises(InputError, match="zero_terminal_snr needs prediction_type"):
        cosine(zero_terminal_snr=True).check_prediction(prediction)


def test_zero_terminal_snr_is_the_stock_rescaling_up_to_its_first_step():
    x, steps = cosine().init, 1000
    config = {**cosine().scheduler_config(x, steps), "rescale_betas_zero_snr": True}
    stock = DDIMScheduler.from_config(config).alphas_cumprod.numpy()
    ours = levels(cosine(zero_terminal_snr=True), x, steps)
    np.testing.assert_allclose(ours, stock, atol=1e-4)


def test_no_steps_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        cosine().betas(cosine().init, 0)
