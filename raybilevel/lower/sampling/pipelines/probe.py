"""What only a loaded pipeline can tell: whether seed and prompt decide its images; its price."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from raybilevel.errors import InputError
from raybilevel.imports import said_in_a_sentence
from raybilevel.lower.sampling.pipelines.batches import BatchedSampler
from raybilevel.lower.sampling.pipelines.deterministic_schedulers import deterministic_schedulers
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler

PROBE_SEED = 0
"""Of the image that is drawn again and again."""

_GREY_LEVEL = 1 / 255
_NAMED = 3


@dataclass(frozen=True)
class PipelineReport:
    """What a pipeline draws on this device, and for how much.

    Attributes
    ----------
    images : (2, C, H, W) of those drawn here.
    conditions : of the images; None where nothing says what is drawn.
    low, high : of the pixels of the images drawn here.
    nfe_per_sample : rows through the denoiser.
    seconds_per_sample : of one image, drawn alone after the first.
    peak_bytes : of this process until now; on a GPU, of its memory.
    beside_others : the largest difference that drawing beside another prompt made to a pixel.
    remarks : what a user should know.
    """

    images: Tensor
    conditions: tuple[Any, ...] | None
    low: float
    high: float
    nfe_per_sample: int
    seconds_per_sample: float
    peak_bytes: int
    beside_others: float
    remarks: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width


def probe_pipeline(
    sampler: PipelineSampler | BatchedSampler, named: str, conditions: Sequence[Any] | None = None
) -> PipelineReport:
    """Draw one image twice alone, and once beside that of the longest prompt, where batches allow.

    Parameters
    ----------
    named : what sentences call the pipeline.
    conditions : the prompts or class labels of the run, where the pipeline takes them.

    Raises
    ------
    InputError
        If the pipeline raises, draws anything but finite pixels in [0, 1], evaluates no network
        that can be counted, or its images depend on more than seed and prompt. In 16 bits that a
        batch moves images is only remarked on.
    """
    seeds, asked = [PROBE_SEED, PROBE_SEED + 1], _shortest_and_longest(conditions)
    one = None if asked is None else asked[:1]
    with said_in_a_sentence(
        named, f"seed {PROBE_SEED}" + ("" if one is None else f" and {one[0]!r}")
    ):
        first = sampler.draw(seeds[:1], one)
        begun = time.perf_counter()
        again = sampler.draw(seeds[:1], one)
        seconds = time.perf_counter() - begun
        beside = sampler.draw(seeds, asked)
    _check_pixels(first.images, named)
    if again.cost.nfe == 0:
        raise InputError(f"{named} called no unet or transformer, so its cost cannot be counted")
    _check_decided_by_seed(first.images, again.images, sampler.pipeline, named)
    moved = _moved(first.images[0], beside.images[0])
    return PipelineReport(
        beside.images,
        None if asked is None else tuple(asked),
        float(first.images.min()),
        float(first.images.max()),
        again.cost.nfe,
        seconds,
        peak_bytes(),
        moved,
        _remarks(moved, sampler.pipeline, named),
    )


def _shortest_and_longest(conditions: Sequence[Any] | None) -> list[Any] | None:
    if not conditions:
        return None
    by_length = sorted(conditions, key=lambda condition: len(str(condition)))
    return [by_length[0], by_length[-1]]


def _check_pixels(images: Tensor, named: str) -> None:
    if not images.isfinite().all():
        raise InputError(
            f"{named} drew pixels that are no finite numbers; give dtype: bfloat16 or float32"
        )
    low, high = float(images.min()), float(images.max())
    if low < -_GREY_LEVEL or high > 1 + _GREY_LEVEL:
        raise InputError(
            f"{named} drew pixels from {low:.3g} to {high:.3g}, but rewards are given images in "
            "[0, 1]; give a pipeline that draws those"
        )


def _moved(image: Tensor, other: Tensor) -> float:
    return float((image - other).abs().max())


def _check_decided_by_seed(first: Tensor, again: Tensor, pipeline: Any, named: str) -> None:
    if (moved := _moved(first, again)) <= _GREY_LEVEL:
        return
    scheduler = getattr(pipeline, "scheduler", None)
    found = () if scheduler is None else deterministic_schedulers(scheduler)
    choices = list(islice(found, _NAMED))
    do = f"scheduler: {choices[0]}" if choices else "a pipeline with another scheduler"
    others = f" (or {', '.join(choices[1:])})" if choices[1:] else ""
    raise InputError(
        f"{named} drew two images for one seed, {moved:.2g} apart, as its "
        f"{type(scheduler).__name__} draws noise that {type(pipeline).__name__} takes from "
        f"no seed; give one that draws none, such as {do}{others}"
    )


def _remarks(moved: float, pipeline: Any, named: str) -> tuple[str, ...]:
    if moved <= _GREY_LEVEL:
        return ()
    said = f"{named}: a prompt beside it moves an image by up to {moved:.2g}"
    dtypes = {p.dtype for p in _parameters(pipeline)}
    if dtypes <= {torch.float32, torch.float64}:
        raise InputError(
            f"{said}, so that its images depend on more than seed and prompt; give prompts of one "
            "length, or a pipeline that masks what it pads"
        )
    return (f"{said}, as it computes in 16 bits; with dtype: float32 it should not",)


def _parameters(pipeline: Any) -> list[Any]:
    parts = pipeline.components.values()
    return [p for part in parts if isinstance(part, torch.nn.Module) for p in part.parameters()]


def peak_bytes() -> int:
    """Peak memory of this process; of its GPU where it has used one."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
