"""The solvers against diffusers' own, step for step, and against their theoretical orders."""

import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from packages import register, write_module

from raybilevel.config import registry
from raybilevel.errors import InputError
from raybilevel.lower.sampling.solvers import (
    DDIM,
    load_solver,
    sample_ddim,
    sample_dpmpp_2m,
    solver_name,
)

KINDS = ["epsilon", "sample", "v_prediction"]


def noise(count=6):
    return torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def denoise(x, logsnr):
    """A smooth denoiser that bends x and depends on the level; (x0, eps)."""
    alpha, sigma = logsnr.sigmoid().sqrt().to(x), (-logsnr).sigmoid().sqrt().to(x)
    x0 = torch.tanh(1.7 * alpha * x + 0.3 * torch.sin(2 * x) + 0.05 * logsnr.to(x))
    return x0, (x - alpha * x0) / sigma


def output(kind, x, logsnr):
    """What a network of this kind would say."""
    x0, eps = denoise(x, logsnr)
    alpha, sigma = logsnr.sigmoid().sqrt().to(x), (-logsnr).sigmoid().sqrt().to(x)
    return {"epsilon": eps, "sample": x0, "v_prediction": alpha * eps - sigma * x0}[kind]


def walk(solve, logsnr, predict=denoise):
    """Every x that the solver visits, the end included."""
    seen = []

    def watched(x, level):
        seen.append(x)
        return predict(x, level)

    end = solve(watched, noise(), logsnr)
    return torch.stack([*seen, end])


def stock_walk(scheduler, logsnr, kind):
    x, seen = noise(), [noise()]
    for t, level in zip(scheduler.timesteps, logsnr, strict=True):
        x = scheduler.step(output(kind, x, level[None]), t, x, return_dict=False)[0]
        seen.append(x)
    return torch.stack(seen)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
def test_dpmpp_is_diffusers_at_every_step(kind, spacing):
    """On both sides of the 15 steps below which diffusers' `lower_order_final` is asked.

    At the first level a clean image from noise is 150 times as rounded as the noise is.
    """
    rounding = 3e-4 if kind == "epsilon" else 1e-5
    for steps in range(1, 21):
        scheduler = DPMSolverMultistepScheduler(prediction_type=kind, timestep_spacing=spacing)
        scheduler.set_timesteps(steps)
        logsnr = -2 * scheduler.sigmas[:-1].double().log()
        expected = stock_walk(scheduler, logsnr, kind)
        assert len(expected) == steps + 1
        torch.testing.assert_close(walk(sample_dpmpp_2m, logsnr), expected, rtol=0, atol=rounding)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clip", [None, 0.6])
def test_ddim_is_diffusers_at_every_step(kind, clip):
    def clipped(x, logsnr):
        x0, eps = denoise(x, logsnr)
        return (x0 if clip is None else x0.clamp(-clip, clip)), eps

    for steps in (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20):
        scheduler = DDIMScheduler(
            num_train_timesteps=120,
            beta_end=0.1,
            prediction_type=kind,
            timestep_spacing="trailing",
            clip_sample=clip is not None,
            clip_sample_range=clip or 1.0,
        )
        scheduler.set_timesteps(steps)
        logsnr = torch.logit(scheduler.alphas_cumprod[scheduler.timesteps].double())
        expected = stock_walk(scheduler, logsnr, kind)
        torch.testing.assert_close(walk(sample_ddim, logsnr, clipped), expected, rtol=0, atol=1e-5)
    assert clip is None or not torch.allclose(walk(sample_ddim, logsnr), expected, atol=1e-2)


class Gaussian:
    """Data N(mean, std^2): the ideal denoiser, and the end of the probability flow."""

    mean, std = 0.7, 0.4

    def variance(self, logsnr):
        return self.std**2 * logsnr.sigmoid() + (-logsnr).sigmoid()

    def predict(self, x, logsnr):
        alpha, sigma = logsnr.sigmoid().sqrt(), (-logsnr).sigmoid().sqrt()
        share = self.std**2 * alpha / self.variance(logsnr)
        x0 = self.mean + share * (x - alpha * self.mean)
        return x0, (x - alpha * x0) / sigma

    def flow(self, x, first, last):
        """The flow keeps (x - alpha mean) / sd; then one step to the clean image, as solvers do."""
        z = (x - first.sigmoid().sqrt() * self.mean) / self.variance(first).sqrt()
        at_last = last.sigmoid().sqrt() * self.mean + self.variance(last).sqrt() * z
        return self.predict(at_last, last)[0]


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm++", 2)])
def test_the_error_falls_at_the_theoretical_order(name, order):
    """Orders 1 (Song et al. 2021) and 2 (Lu et al. 2022, theorem 4.1 for the multistep solver)."""
    data, x = Gaussian(), torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    steps, errors = [20, 40, 80, 160, 320], []
    for n in steps:
        logsnr = torch.linspace(-6, 6, n, dtype=torch.float64)
        end = load_solver(name).walk(data.predict, x, logsnr)
        assert end.dtype == torch.float64
        errors.append((end - data.flow(x, logsnr[:1], logsnr[-1:])).abs().max().item())
    # n levels are n - 1 strides, and the step to the clean image
    slope = np.polyfit(np.log(np.array(steps) - 1), np.log(errors), 1)[0]
    assert slope == pytest.approx(-order, abs=0.1)


@pytest.mark.parametrize("name", registry.names("solvers"))
def test_a_level_costs_one_evaluation_and_is_asked_in_order(name):
    logsnr, asked = torch.linspace(-5, 5, 7, dtype=torch.float64), []

    def predict(x, level):
        asked.append(level.item())
        return denoise(x, level)

    load_solver(name).walk(predict, noise(), logsnr)
    assert asked == logsnr.tolist()


@pytest.mark.parametrize("name", registry.names("solvers"))
def test_one_level_gives_the_predicted_clean_image(name):
    logsnr = torch.tensor([-3.0], dtype=torch.float64)
    expected = denoise(noise(), logsnr)[0]
    torch.testing.assert_close(load_solver(name).walk(denoise, noise(), logsnr), expected)


def test_second_order_beats_first_at_the_same_cost():
    data, x = Gaussian(), torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    logsnr = torch.linspace(-6, 6, 20, dtype=torch.float64)
    truth = data.flow(x, logsnr[:1], logsnr[-1:])
    first, second = (
        (load_solver(name).walk(data.predict, x, logsnr) - truth).abs().max()
        for name in ("ddim", "dpm++")
    )
    assert math.log(first / second) > 1


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


THEIRS = """
    from raybilevel.lower.sampling.solvers import DDIM
    theirs = DDIM
    walk = DDIM.walk
"""


def test_a_solver_that_another_package_registers_is_taken_by_its_name(site):
    register(site, "their-solvers", "solvers", "theirs", "their_solvers:theirs")
    write_module(site, "their_solvers", THEIRS)
    assert solver_name("theirs") == "theirs"
    assert load_solver("theirs") is DDIM


def test_a_solver_that_nobody_registers_lists_the_known():
    for look_up in (load_solver, solver_name):
        with pytest.raises(InputError, match=r"solver is 'heun'; the known are 'dpm\+\+' \(DPM"):
            look_up("heun")


def test_what_is_registered_must_be_a_solver(site):
    register(site, "their-walks", "solvers", "theirs", "their_walks:walk")
    write_module(site, "their_walks", THEIRS)
    with pytest.raises(InputError, match=r"package their-walks is .*, but it must be a Solver"):
        load_solver("theirs")
