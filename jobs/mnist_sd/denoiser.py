"""The denoiser and the text model that it listens to, trained together.

Rombach et al. 2022, arXiv 2112.10752, on latents; v-prediction of Salimans & Ho 2022, arXiv
2202.00512; prompts are dropped for classifier-free guidance, Ho & Salimans 2022, arXiv 2207.12598.
"""

from __future__ import annotations

import itertools

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch import Tensor
from transformers import CLIPTextModel

from mnist_sd.text import WIDTH
from raybilevel.lower.training.optimizer_config import decayed

_BATCH = 64
_WARMUP = 100
_DROPPED = 0.1


def new_denoiser() -> UNet2DConditionModel:
    """With its first weights."""
    return UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(32, 64),
        layers_per_block=1, norm_num_groups=8, attention_head_dim=4, cross_attention_dim=WIDTH,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip


def new_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise levels."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=False, steps_offset=1, prediction_type="v_prediction",
    )  # fmt: skip


def train_denoiser(
    unet: UNet2DConditionModel,
    text: CLIPTextModel,
    latents: tuple[Tensor, Tensor],
    tokens: Tensor,
    nothing: Tensor,
    steps: int,
    rate: float,
    seed: int,
) -> None:
    """Train in place; both end with the moving average of their weights.

    Parameters
    ----------
    latents : means and spreads (N, 4, 8, 8), scaled.
    tokens : (N, L) int64, the prompts.
    nothing : (L,), the empty prompt.
    rate : the highest learning rate.
    """
    torch.manual_seed(seed)
    scheduler = new_scheduler()
    weights = list(itertools.chain(unet.parameters(), text.parameters()))
    optimiser = torch.optim.AdamW(weights, lr=rate, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: decayed(i, steps, _WARMUP))
    average = EMAModel(weights, decay=0.995, use_ema_warmup=True, power=0.75)
    for i in range(steps):
        chosen = torch.randint(len(tokens), (_BATCH,))
        mean, spread = (part[chosen] for part in latents)
        said = torch.where(torch.rand(_BATCH, 1) < _DROPPED, nothing, tokens[chosen])
        loss = _loss(unet, text, scheduler, mean + spread * torch.randn_like(mean), said)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        decay.step()
        average.step(weights)
        if i % 100 == 99:
            print(f"denoiser, step {i + 1} of {steps}: loss {loss.item():.4f}", flush=True)
    average.copy_to(weights)


def _loss(
    unet: UNet2DConditionModel, text: CLIPTextModel, scheduler: DDIMScheduler, x0: Tensor,
    said: Tensor,
) -> Tensor:  # fmt: skip
    noise = torch.randn_like(x0)
    t = torch.randint(scheduler.config.num_train_timesteps, (len(x0),))
    asked = unet(scheduler.add_noise(x0, noise, t), t, text(said)[0]).sample
    return (asked - scheduler.get_velocity(x0, noise, t)).square().mean()
