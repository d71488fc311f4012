"""Trains the text-to-image model from digits alone, and saves it as a stock pipeline."""

from __future__ import annotations

import torch
from diffusers import StableDiffusionPipeline

from mnist_sd.autoencoder import latents_of, train_autoencoder
from mnist_sd.denoiser import new_denoiser, new_scheduler, train_denoiser
from mnist_sd.pictures import redrawn
from mnist_sd.prompts import every_prompt, prompts_of
from mnist_sd.text import text_encoder, tokenizer
from raybilevel.data import Dataset

TIMES = 12
AUTOENCODER_STEPS = 1200
DENOISER_STEPS = 2800


def train(
    data: Dataset, autoencoder_steps: int, denoiser_steps: int, times: int, seed: int = 0
) -> StableDiffusionPipeline:
    """Train on handwritten digits (N, 1, 28, 28), each redrawn so many times."""
    pictures = redrawn(data.images[:], data.labels, times, seed)
    print(f"{len(pictures.labels)} pictures", flush=True)
    vae = train_autoencoder(pictures.images, autoencoder_steps, seed)
    mean, spread = latents_of(vae, pictures.images)
    scale = vae.config.scaling_factor
    tokens = tokenizer(every_prompt())
    torch.manual_seed(seed)
    unet, text = new_denoiser(), text_encoder(tokens)
    said = _ids(tokens, prompts_of(pictures, seed))
    (nothing,) = _ids(tokens, [""])
    train_denoiser(unet, text, (mean * scale, spread * scale), said, nothing, denoiser_steps, seed)
    return StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokens, unet=unet, scheduler=new_scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def _ids(tokens, prompts):
    return tokens(prompts, padding="max_length", return_tensors="pt")["input_ids"]
