"""Stock schedulers' configs: read through their own classes, fitted with a stated residual."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)

from raybilevel.errors import InputError
from raybilevel.schedules import cosine, knots, sigmoid
from raybilevel.schedules.scheduler_config import float32_betas, stock_levels

STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize(
    "scheduler",
    [
        DDPMScheduler(),
        DDPMScheduler(beta_schedule="sigmoid"),
        DDIMScheduler(beta_schedule="squaredcos_cap_v2", num_train_timesteps=100),
        DDIMScheduler(**STABLE, rescale_betas_zero_snr=True),
        DDIMScheduler(trained_betas=[0.1, 0.2, 0.3]),
        DPMSolverMultistepScheduler(beta_schedule="linear", use_karras_sigmas=True),
        EulerDiscreteScheduler(**STABLE),
    ],
)
def test_levels_are_the_schedulers_own(scheduler):
    logsnr, t = stock_levels(scheduler.config)
    abar = scheduler.alphas_cumprod.double().numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-logsnr)), abar, atol=2e-6)
    np.testing.assert_allclose(t, np.arange(1, len(abar) + 1) / len(abar))


@pytest.mark.parametrize(
    ("config", "schedule", "off", "abar_off"),
    [
        # log-SNR: root mean square over the steps at or above t = 0.1; abar: the most, over them
        ("squaredcos_cap_v2", cosine(), 0.06, 0.003),
        ("squaredcos_cap_v2", sigmoid(), 0.5, 0.06),
        ("squaredcos_cap_v2", knots(10), 0.5, 0.01),
        ("linear", cosine(), 0.3, 0.06),
        ("linear", sigmoid(), 0.5, 0.08),
        ("linear", knots(10), 0.1, 0.02),
    ],
)
def test_stock_schedules_are_fitted(config, schedule, off, abar_off):
    stock = DDPMScheduler(beta_schedule=config)
    abar = stock.alphas_cumprod.double().numpy()[99:]
    x, t = schedule.from_config(stock.config), torch.arange(100, 1001).double() / 1000
    got = schedule.alphas_cumprod(torch.from_numpy(x), t).numpy()
    assert np.abs(got - abar).max() < abar_off
    wanted = np.clip(np.log(abar / (1 - abar)), -9.2, 9.2)  # abar below 1e-4 is out of reach
    logsnr = np.clip(schedule.logsnr(torch.from_numpy(x), t).numpy(), -9.2, 9.2)
    assert np.sqrt(np.square(logsnr - wanted).mean()) < off


def test_float32_betas_make_up_for_rounding():
    betas = np.full(1000, 1e-8)
    rounded = float32_betas(betas)
    assert np.all(rounded > 0)
    stock = DDPMScheduler(trained_betas=rounded.tolist()).alphas_cumprod
    np.testing.assert_allclose(stock.double(), np.cumprod(1 - betas), rtol=0, atol=6e-8)
    plain = DDPMScheduler(trained_betas=betas.tolist()).alphas_cumprod
    assert np.abs(plain.double().numpy() - np.cumprod(1 - betas)).max() > 5e-6


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({**FlowMatchEulerDiscreteScheduler().config, "_class_name": "Flow"}, "Flow has no betas"),
        (DPMSolverMultistepScheduler(use_flow_sigmas=True).config, "no betas"),
        ({"beta_schedule": "squared"}, "beta_schedule 'squared' is not one"),
        ({"trained_betas": [0.1, 2.0]}, "must lie in"),
        ({"trained_betas": [0.1, -2.0]}, "must lie in"),
    ],
)
def test_configs_without_such_a_schedule_are_refused(config, says):
    with pytest.raises(InputError, match=says):
        cosine().from_config(config)
