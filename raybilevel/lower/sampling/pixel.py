"""Sampling from a pretrained pixel-space pipeline: our own loop, its network and scheduler."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import patch_environment
from torch import Tensor

from raybilevel.errors import RunError
from raybilevel.lower.sampling.noise import (
    GivenNoise,
    NoiseDraws,
    NotedNoise,
    seeded,
    why_not_given,
)
from raybilevel.lower.sampling.pipeline_info import check_pipeline
from raybilevel.lower.sampling.pipeline_loading import load_pipeline


class PixelSampler:
    """Draws images from an unconditional pixel-space pipeline, each from a seed of its own.

    All noise comes from one CPU generator per image, so that an image depends on its seed alone,
    to rounding: not on the batch that it is drawn in, nor on the device (TF32, which cuDNN's
    convolutions take where they can, moved pixels by up to 0.004).

    Parameters
    ----------
    directory
        A pipeline directory that `check_pipeline` accepts.
    device
        "cpu" or "cuda".
    sampling_steps
        In [1, the scheduler's num_train_timesteps]; None for 50, or all where there are fewer.
    mixed_precision
        "no", "fp16" or "bf16": what accelerate runs the network in.
    variant
        Of the weights; None for those without one, or else the only one.

    Attributes
    ----------
    image_shape : (C, H, W)
    nfe_per_sample : network evaluations that an image costs.

    Raises
    ------
    InputError
        What `check_pipeline` and `load_pipeline` raise.
    RunError
        If this process has set accelerate up for another device before.
    """

    def __init__(
        self,
        directory: Path | str,
        device: str = "cpu",
        sampling_steps: int | None = None,
        mixed_precision: str = "no",
        variant: str | None = None,
    ) -> None:
        info = check_pipeline(directory, sampling_steps, variant=variant)
        pipeline = load_pipeline(directory, variant)
        self.image_shape = info.image_shape
        self._steps = info.sampling_steps
        self._unet, self._device = prepare(pipeline.unet, device, mixed_precision)
        self._scheduler = pipeline.scheduler
        self._scheduler.set_timesteps(self._steps)
        self._noisy = "generator" in inspect.signature(self._scheduler.step).parameters
        # Second-order schedulers list a time twice: one evaluation for each entry.
        self.nfe_per_sample = len(self._scheduler.timesteps)

    def sample(self, seeds: Sequence[int]) -> Tensor:
        """Draw one image per seed: (N, C, H, W) float32 in [0, 1], on the CPU."""
        with torch.inference_mode():
            images = self._sample(seeded(seeds), self._unet)
        return images.clone()  # an ordinary tensor again, which a reward may do anything with

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """All numbers (N, D) that `sample` draws: where it begins, and what the scheduler adds."""
        return self._tried[0].noise(seeds)

    def sample_noise(self, noise: Tensor) -> Tensor:
        """Draw one image per row (D,) of noise: of `noise(seeds)` the bits of `sample(seeds)`."""
        given = GivenNoise(list(noise), self._tried[0])
        with torch.inference_mode():
            images = self._sample(given.generators, self._unet, given)
        return images.clone()

    def why_fixed(self, named: str) -> str | None:
        """Why images cannot be drawn from given noise, as the middle of a sentence."""
        draws, moved = self._tried
        return why_not_given(named, draws, moved or None)

    @cached_property
    def _tried(self) -> tuple[NoiseDraws, float]:
        """What an image's noise is, and what giving it changes: tried without the network."""
        generators = seeded([0])
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            with NotedNoise(generators[0]) as noted:
                drawn = self._sample(generators, _no_network)
            if noted.draws.others:
                return noted.draws, 0.0
            given = GivenNoise(list(noted.draws.noise([0])), noted.draws)
            again = self._sample(given.generators, _no_network, given)
        return noted.draws, float((drawn - again).abs().max())

    def _sample(
        self,
        generators: list[torch.Generator],
        network: Callable[..., Any],
        given: GivenNoise | None = None,
    ) -> Tensor:
        # The scheduler draws its noise from the same generators: on the CPU, an image at a time.
        extra: dict[str, Any] = {"generator": generators} if self._noisy else {}
        drawing = given or nullcontext()
        with drawing:
            noise = torch.stack([torch.randn(self.image_shape, generator=g) for g in generators])
        self._scheduler.set_timesteps(self._steps)  # also forgets the steps of the last batch
        x = noise.to(self._device) * self._scheduler.init_noise_sigma
        for t in self._scheduler.timesteps:
            output = network(self._scheduler.scale_model_input(x, t), t, return_dict=False)[0]
            with drawing:
                x = self._scheduler.step(output, t, x, return_dict=False, **extra)[0]
        return (x / 2 + 0.5).clamp(0, 1).float().cpu()


def _no_network(x: Tensor, t: Tensor, return_dict: bool) -> tuple[Tensor]:
    """Stands for the network where only the scheduler is tried."""
    return (torch.zeros_like(x),)


def prepare(
    unet: torch.nn.Module, device: str, mixed_precision: str
) -> tuple[torch.nn.Module, torch.device]:
    """Put the network on its device and in its precision, for evaluation alone.

    A worker is alone with its device whatever launched the job, but accelerate would take a
    launcher's variables (torchrun, MPI) for its own, wait for peers that never come, or compile.
    """
    with patch_environment(local_rank="-1", pmi_size="1", accelerate_dynamo_backend="no"):
        accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision)
    if accelerator.device.type != device:
        # Its state is one per process, and a later wish for a GPU is dropped without a word.
        raise RunError(
            f"accelerate runs on {accelerator.device.type} in this process, but {device} was asked "
            "for; use a process where no other Accelerator was made, and which sees the device"
        )
    unet = unet.float().eval().requires_grad_(False)
    return accelerator.prepare_model(unet, evaluation_mode=True), accelerator.device
