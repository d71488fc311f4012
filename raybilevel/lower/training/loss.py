"""Denoising score matching on a schedule with parameters x: the lower objective g(x, y).

u_t = sqrt(abar_x(t)) u_0 + sqrt(1 - abar_x(t)) noise (Xiao et al. 2025, arXiv 2502.08808, section
3.2), mean squared error of what the network predicts. Differentiable in the weights y, and in x
through u_t, through the conditioning and through what is to be predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raybilevel.data import Images
from raybilevel.lower.sampling.level_info import LevelInfo
from raybilevel.lower.sampling.level_sampler import asked_step
from raybilevel.schedules import Schedule


@dataclass(frozen=True)
class Draw:
    """A batch and what is random about it.

    Attributes
    ----------
    clean : (B, C, H, W) images in [-1, 1].
    noise : of the same shape.
    t : (B,) float64 times in [0, 1).
    """

    clean: Tensor
    noise: Tensor
    t: Tensor


def draw(images: Images, count: int, generator: torch.Generator, device: torch.device) -> Draw:
    """Draw `count` of the images (N, C, H, W) in [0, 1], noise, and times; all on the CPU.

    Times are a random shift of an even grid, which leaves less to chance (Kingma et al. 2021,
    arXiv 2107.00630, appendix I.1).
    """
    rows = torch.randint(len(images), (count,), generator=generator)
    clean = images[rows] * 2 - 1
    noise = torch.randn(clean.shape, generator=generator)
    shift = torch.rand(1, generator=generator, dtype=torch.float64)
    t = (shift + torch.arange(count) / count) % 1
    return Draw(clean.to(device), noise.to(device), t.to(device))


def denoising_loss(
    network: nn.Module, info: LevelInfo, schedule: Schedule, x: Tensor, at: Draw
) -> Tensor:
    """The loss () of a batch at the schedule's parameters x (d,) float64."""
    logsnr = schedule.logsnr(x, at.t)
    alpha, sigma = (
        level.sigmoid().sqrt().to(at.clean)[:, None, None, None] for level in (logsnr, -logsnr)
    )
    step = asked_step(info, logsnr) if info.conditioning == "noise_level" else _place(info, at.t)
    output = network(alpha * at.clean + sigma * at.noise, step, return_dict=False)[0]
    return (output - _target(info.prediction_type, at, alpha, sigma)).square().mean()


def _place(info: LevelInfo, t: Tensor) -> Tensor:
    return (len(info.logsnr) * t - 1).clamp(min=0).float()


def _target(prediction_type: str, at: Draw, alpha: Tensor, sigma: Tensor) -> Tensor:
    if prediction_type == "epsilon":
        return at.noise
    return at.clean if prediction_type == "sample" else alpha * at.noise - sigma * at.clean
