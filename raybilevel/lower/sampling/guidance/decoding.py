"""Images of predicted clean samples, as pipelines decode what they have drawn; with a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Decode = Callable[[Tensor], Tensor]
"""Maps clean samples (N, ...) to images (N, C, H, W) in [0, 1]."""


def of_pixels(pipeline: Any) -> Decode:
    """Samples are images in [-1, 1]."""
    return _in_range


def of_latents(pipeline: Any) -> Decode:
    """Samples are latents of an AutoencoderKL, scaled; perhaps about a mean of each channel."""
    vae = pipeline.vae
    if vae.dtype == torch.float16 and vae.config.force_upcast:
        pipeline.upcast_vae()  # as the pipeline does where it decodes: in 16 bits it overflows
    mean, sd = (vae.config.get(name) for name in ("latents_mean", "latents_std"))
    scale, shift = (1.0, 0.0) if mean is None or sd is None else (_channels(sd), _channels(mean))

    def decode(latents: Tensor) -> Tensor:
        z = latents * _like(scale, latents) / vae.config.scaling_factor + _like(shift, latents)
        dtype = next(iter(vae.post_quant_conv.parameters())).dtype
        return _in_range(vae.decode(z.to(dtype), return_dict=False)[0])

    return decode


CLEAN_IMAGES: dict[str, Callable[[Any], Decode]] = {
    "DDIMPipeline": of_pixels,
    "DDPMPipeline": of_pixels,
    "StableDiffusionPipeline": of_latents,
    "StableDiffusionXLPipeline": of_latents,
}
"""By the pipeline's class."""


def _in_range(images: Tensor) -> Tensor:
    return (images / 2 + 0.5).clamp(0, 1).float()


def _channels(numbers: Any) -> Tensor:
    return torch.tensor(numbers).reshape(1, -1, 1, 1)


def _like(number: Any, other: Tensor) -> Any:
    return number.to(other) if isinstance(number, Tensor) else number
