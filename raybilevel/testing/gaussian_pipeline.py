"""A pipeline of diffusers whose samples' law is known: an exact network for Gaussian pixels.

Data are N(0, SD^2) a pixel, so that the noise in x_t is sqrt(1 - abar) x_t / (abar SD^2 + 1 - abar)
in expectation (Ho et al. 2020, arXiv 2006.11239, equation 9, for x_0 of this law). Every step of an
ancestral sampler is then linear, x_{t-1} = c_t x_t + s_t eps, and what it draws is Gaussian.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import ConfigMixin, DDIMPipeline, DDIMScheduler, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor

SD = 0.15


class ExactNetwork(ModelMixin, ConfigMixin):
    """Predicts the noise of Gaussian pixels."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, sample_size: int = 2, in_channels: int = 1) -> None:
        super().__init__()
        self.alphas_cumprod = torch.nn.Buffer(_scheduler().alphas_cumprod)

    def forward(self, sample: Tensor, timestep: Any, return_dict: bool = True) -> Any:
        """Noise like `sample` (N, C, H, W)."""
        abar = self.alphas_cumprod[int(timestep)]
        noise = torch.sqrt(1 - abar) * sample / (abar * SD**2 + 1 - abar)
        return UNet2DOutput(noise) if return_dict else (noise,)


def gaussian_pipeline(side: int = 2) -> DDIMPipeline:
    """A pipeline of so many pixels squared, to be called with eta 1."""
    return DDIMPipeline(unet=ExactNetwork(side), scheduler=_scheduler())


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=False)


def variance(steps: int) -> float:
    """Of a pixel, over SD^2, as so many steps draw it."""
    scheduler, network = _scheduler(), ExactNetwork()
    scheduler.set_timesteps(steps)
    at, noise = torch.eye(2).reshape(2, 2, 1, 1, 1)  # of a pixel alone, and of noise alone
    found = 1.0
    for t in scheduler.timesteps:
        output = network(at, t).sample
        step = scheduler.step(output, t, at, eta=1.0, variance_noise=noise).prev_sample
        found = float(step[0]) ** 2 * found + float(step[1]) ** 2
    return found / SD**2


def pixel(images: Tensor, place: int = 0) -> Tensor:
    """A pixel (N,) of images, in units of SD: standard normal but for the sampler's error."""
    return (images.flatten(1)[:, place] - 0.5) * 2 / SD
