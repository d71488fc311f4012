"""The autoencoder: pictures 1 x 32 x 32 to latents 4 x 8 x 8 and back (Rombach et al. 2022)."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from diffusers.training_utils import EMAModel
from torch import Tensor

from raybilevel.lower.training.optimizer_config import decayed

_BATCH = 64
_RATE = 2e-3
_WARMUP = 50
_KL = 1e-4  # a pixel's share: enough to keep latents within a few units of zero


def train_autoencoder(images: Tensor, steps: int, seed: int) -> AutoencoderKL:
    """Train on pictures (N, 1, 32, 32) in [0, 1]; latents are scaled to a spread of 1."""
    torch.manual_seed(seed)
    vae = AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=4, sample_size=32, norm_num_groups=8,
        block_out_channels=(16, 24, 24), layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    )  # fmt: skip
    vae.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=_RATE, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: decayed(i, steps, _WARMUP))
    average = EMAModel(vae.parameters(), decay=0.99, use_ema_warmup=True, power=0.75)
    for i in range(steps):
        loss = _loss(vae, images[torch.randint(len(images), (_BATCH,))] * 2 - 1)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        decay.step()
        average.step(vae.parameters())
        if i % 100 == 99:
            print(f"autoencoder, step {i + 1}: loss {loss.item():.5f}", flush=True)
    average.copy_to(vae.parameters())
    vae.eval().requires_grad_(False)
    mean, spread = latents_of(vae, images[:2000])
    scale = (mean + spread * torch.randn_like(mean)).std()
    vae.register_to_config(scaling_factor=round(1 / scale.item(), 4))
    return vae


def _loss(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    posterior = vae.encode(pictures).latent_dist
    made = vae.decode(posterior.sample()).sample
    return (made - pictures).square().mean() + _KL * posterior.kl().mean() / 1024


@torch.no_grad()
def latents_of(vae: AutoencoderKL, images: Tensor) -> tuple[Tensor, Tensor]:
    """Means and spreads (N, 4, 8, 8) of the latents of pictures in [0, 1], not scaled."""
    parts = [vae.encode(part * 2 - 1).latent_dist for part in images.split(500)]
    return torch.cat([p.mean for p in parts]), torch.cat([p.std for p in parts])
