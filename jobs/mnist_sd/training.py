"""Trains the text-to-image model from digits alone, and saves it as a stock pipeline."""

from __future__ import annotations

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from transformers import CLIPTokenizer

from mnist_sd.autoencoder import latents_of, train_autoencoder
from mnist_sd.denoiser import new_denoiser, new_scheduler, train_denoiser
from mnist_sd.pictures import redrawn
from mnist_sd.prompts import every_prompt, prompts_of
from mnist_sd.text import text_encoder, tokenizer
from raybilevel.data import Dataset

_TIMES = 12  # each digit redrawn
_AUTOENCODER_STEPS = 1200
_CYCLES = ((2800, 1.5e-3), (2200, 1e-3))  # steps of the denoiser, and its rate at first


def train(data: Dataset, seed: int = 0) -> StableDiffusionPipeline:
    """Train on handwritten digits (N, 1, 28, 28), 3,000 of them."""
    pictures = redrawn(data.images[:], data.labels, _TIMES, seed)
    vae = train_autoencoder(pictures.images, _AUTOENCODER_STEPS, seed)
    mean, spread = (part * vae.config.scaling_factor for part in latents_of(vae, pictures.images))
    tokens = tokenizer(every_prompt())
    torch.manual_seed(seed)
    unet, text = new_denoiser(), text_encoder(tokens)
    said = _ids(tokens, prompts_of(pictures, seed))
    (nothing,) = _ids(tokens, [""])
    for cycle, (steps, rate) in enumerate(_CYCLES):
        train_denoiser(unet, text, (mean, spread), said, nothing, steps, rate, seed + cycle)
    return StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokens, unet=unet, scheduler=new_scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def _ids(tokens: CLIPTokenizer, prompts: list[str]) -> Tensor:
    """(N, 16) int64."""
    return tokens(prompts, padding="max_length", return_tensors="pt")["input_ids"]
