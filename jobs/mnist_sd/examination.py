"""What the model draws, beside what it was asked for: by fresh prompts and seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from mnist_sd.pictures import Pictures, measured
from mnist_sd.prompts import PLACES, SIZES, SLANTS, STROKES, prompt

STEPS, GUIDANCE = 20, 3.0  # recommended
_AT_ONCE = 50
_PAIRS: dict[str, tuple[str, Callable[[Pictures], Tensor]]] = {
    "thin, thick": ("stroke", lambda p: p.stroke * p.height),
    "backslanted, slanted": ("slant", lambda p: p.slant),
    "small, large": ("size", lambda p: p.height),
    "to the left, to the right": ("place", lambda p: p.right),
    "at the top, at the bottom": ("place", lambda p: p.down),
}
"""Two words: what they say of, and what is measured, more of it where the second is said."""


def draw(pipeline: StableDiffusionPipeline, prompts: list[str], seeds: list[int]) -> Tensor:
    """(N, 1, 32, 32) by the stock call."""
    images = []
    for i in range(0, len(prompts), _AT_ONCE):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[i : i + _AT_ONCE]]
        drawn = pipeline(
            prompts[i : i + _AT_ONCE], num_inference_steps=STEPS, guidance_scale=GUIDANCE,
            generator=generators, output_type="pt",
        )  # fmt: skip
        images.append(drawn.images)
    return torch.cat(images)


def drawn_as_asked(
    pipeline: StableDiffusionPipeline, count: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 32, 32) of random prompts, and the digits (N,) that these ask for."""
    generator = np.random.default_rng(seed)
    digits = torch.arange(count) % 10
    prompts = [prompt(int(digit), **_said(generator)) for digit in digits]
    return draw(pipeline, prompts, generator.integers(2**31, size=count).tolist()), digits


def shares_in_order(
    pipeline: StableDiffusionPipeline, count: int, seed: int
) -> Iterator[tuple[str, float]]:
    """Share of pairs of the same prompt and seed, but for one word, that differ as the words do."""
    generator = np.random.default_rng(seed)
    for words, (kind, measure) in _PAIRS.items():
        said = [_said(generator) | {"digit": i % 10} for i in range(count)]
        seeds = generator.integers(2**31, size=count).tolist()
        less, more = (
            measure(_measured(draw(pipeline, [prompt(**s | {kind: word}) for s in said], seeds)))
            for word in words.split(", ")
        )
        yield words, (more > less).double().mean().item()


def _measured(images: Tensor) -> Pictures:
    return measured(images, torch.zeros(len(images), dtype=torch.int64))


def _said(generator: np.random.Generator) -> dict[str, str]:
    places = [place for row in PLACES for place in row]
    kinds = {"stroke": STROKES, "slant": SLANTS, "size": SIZES, "place": places}
    return {kind: str(generator.choice(words)) for kind, words in kinds.items()}
