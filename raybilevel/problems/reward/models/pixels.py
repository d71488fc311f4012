"""An unconditional pixel-space pipeline, drawn from by our own loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybilevel.errors import InputError
from raybilevel.lower.hub import commit_of
from raybilevel.lower.pretrained import PRETRAINED, pipeline_directory
from raybilevel.lower.sampling.pipeline_files import find_files
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.lower.sampling.pipelines.hub import fetch
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.models.base import DrawnSamples, Model, Probe, UnguidedSampler

if TYPE_CHECKING:
    from torch import Tensor

    from raybilevel.lower.sampling.pixel import PixelSampler

_PROBE = 2
_PRECISIONS = {"auto": "no", "float32": "no", "bfloat16": "bf16", "float16": "fp16"}
"""accelerate's names by torch's: small networks are not worth 16 bits, unless asked for."""


@dataclass(frozen=True)
class PixelModel(Model):
    """A pipeline of a unet and a scheduler: a directory, one of the hub, or one that comes along.

    Its images are known from its JSON, so that no worker has to probe it.

    Parameters
    ----------
    settings : its sampling_steps; the dtype that the network is run in, of which "auto" is float32;
        of `model_options` variant and revision.
    on_hub : whether `spec` names a model of the hub.
    """

    spec: str
    settings: PipelineSettings
    prompts: PromptList | None = None
    on_hub: bool = False

    @property
    def directory(self) -> Path:
        """Where it lies on this node; of the hub it is fetched first."""
        if not self.on_hub:
            return pipeline_directory(self.spec)
        commit = commit_of(self.spec, self.settings.revision)
        return fetch(self.spec, commit, self.settings)

    def check(self) -> Probe:
        """Noise in the shape of its images, which are slow to draw."""
        import torch

        from raybilevel.lower.sampling.pipeline_info import check_pipeline

        if self.prompts is not None:
            raise InputError(f"prompts are given, but {self.named} takes none; leave them out")
        info = check_pipeline(
            self.directory, self.settings.sampling_steps, variant=self.settings.variant
        )
        generator = torch.Generator().manual_seed(0)
        return Probe(torch.rand((_PROBE, *info.image_shape), generator=generator))

    def remarks(self) -> list[str]:
        """Which files are used, where they leave a choice."""
        if self.spec in PRETRAINED:
            return []
        return list(find_files(self.directory, variant=self.settings.variant).remarks)

    def sampler(self, device: str) -> PixelDraws:
        """Load the pipeline."""
        from raybilevel.lower.sampling.pixel import PixelSampler

        steps, variant = self.settings.sampling_steps, self.settings.variant
        precision = _PRECISIONS[self.settings.dtype]
        loaded = PixelSampler(self.directory, device, steps, precision, variant)
        return PixelDraws(loaded, self.named)

    @cached_property
    def nfe_per_sample(self) -> int:
        """One a step, two at times of schedulers of the second order."""
        return self.sampler("cpu").sampler.nfe_per_sample

    def export(self, directory: Path) -> None:
        """Copy the pipeline, to be loaded by the stock call."""
        from raybilevel.lower.sampling.pipeline_loading import copy_pipeline

        copy_pipeline(self.directory, directory / "pipeline", self.settings.variant)


@dataclass(frozen=True)
class PixelDraws(UnguidedSampler):
    """A pixel-space pipeline that is loaded."""

    sampler: PixelSampler
    named: str

    def draw(self, seeds: Sequence[int], conditions: Conditions) -> DrawnSamples:
        """An image a seed."""
        return self._timed(self.sampler.sample, list(seeds))

    def probe(self) -> None:
        """All is known from its JSON."""
        return

    @property
    def why_fixed(self) -> str | None:
        """As its scheduler was found to be."""
        return self.sampler.why_fixed(self.named)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """(N, D): where an image begins, and what its scheduler adds."""
        return self.sampler.noise(seeds)

    def draw_noise(self, noise: Tensor, conditions: Conditions) -> DrawnSamples:
        """An image a row."""
        return self._timed(self.sampler.sample_noise, noise)

    def _timed(self, draw: Callable[..., Tensor], given: Any) -> DrawnSamples:
        begun = time.perf_counter()
        images = draw(given)
        nfe = len(images) * self.sampler.nfe_per_sample
        return DrawnSamples(images, nfe, {"denoiser": time.perf_counter() - begun})
