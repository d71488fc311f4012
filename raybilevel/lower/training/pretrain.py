"""Pretraining: a small unconditional DDPM, saved as a stock diffusers pipeline.

Ho et al. 2020, arXiv 2006.11239, Algorithm 1 (noise prediction, the simple loss of equation 14),
on the cosine schedule of Nichol & Dhariwal 2021, arXiv 2102.09672, section 3.2.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from torch import Tensor

from raybilevel.lower.training.optimizer_config import decayed
from raybilevel.lower.training.unet import network_config

_BATCH = 128
_LEARNING_RATE = 3e-3
_WARMUP = 100


def pretrain(directory: Path, images: Tensor, steps: int = 1800, seed: int = 0) -> list[float]:
    """Train on images and save a stock `DDIMPipeline` to `directory`.

    Parameters
    ----------
    images
        (N, C, S, S) in [0, 1], S a multiple of 2 below 16, of 4 from there on.
    steps
        Optimiser steps of 128 images, at least 1.
    seed
        Of the initial weights, the batches and the noise.

    Returns
    -------
    The loss of every step: mean squared error of the predicted noise, which has unit variance.
    """
    channels, height, width = images.shape[1:]
    shape = channels, height, width
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, scheduler = UNet2DModel(**network_config(shape)), _scheduler()
        losses = _train(unet, scheduler, images * 2 - 1, steps)
    DDIMPipeline(unet, scheduler).save_pretrained(directory, safe_serialization=True)
    return losses


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")


def _train(unet: UNet2DModel, scheduler: DDIMScheduler, images: Tensor, steps: int) -> list[float]:
    """Train in place; `unet` ends with the moving average of its weights."""
    optimiser = torch.optim.AdamW(unet.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: decayed(i, steps, _WARMUP))
    average = EMAModel(unet.parameters(), decay=0.995, use_ema_warmup=True, power=0.75)
    losses = []
    for _ in range(steps):
        loss = _loss(unet, scheduler, images[torch.randint(len(images), (_BATCH,))])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimiser.step()
        decay.step()
        average.step(unet.parameters())
        losses.append(loss.item())
    average.copy_to(unet.parameters())
    return losses


def _loss(unet: UNet2DModel, scheduler: DDIMScheduler, x0: Tensor) -> Tensor:
    noise = torch.randn_like(x0)
    t = torch.randint(scheduler.config.num_train_timesteps, (len(x0),))
    return (unet(scheduler.add_noise(x0, noise, t), t).sample - noise).square().mean()
