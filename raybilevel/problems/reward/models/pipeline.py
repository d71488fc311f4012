"""Any diffusers pipeline but the plainest pixel-space ones, drawn from by its own call."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from raybilevel.lower.pretrained import pipeline_directory
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.problems.reward.models.base import DrawnSamples, Model
from raybilevel.problems.reward.prompts import PromptList

if TYPE_CHECKING:
    from raybilevel.lower.sampling.pipelines.probe import PipelineReport
    from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler


@dataclass(frozen=True)
class PipelineModel(Model):
    """A pipeline directory, or the name of one that comes along.

    Parameters
    ----------
    settings : how it is loaded and called.
    batch_size, may_halve : as `BatchedSampler` takes them.
    """

    spec: str
    settings: PipelineSettings
    prompts: PromptList | None = None
    batch_size: int | None = None
    may_halve: bool = False

    @property
    def named(self) -> str:
        """What sentences call it."""
        return f"model '{self.spec}'"

    @cached_property
    def directory(self) -> Path:
        """Where it lies."""
        return pipeline_directory(self.spec)

    def check(self) -> None:
        """Refuse what its JSON and its tokenizers tell; what it draws, a worker's probe tells."""
        self.remarks()

    def remarks(self) -> list[str]:
        """What is off, and which prompts are cut."""
        from raybilevel.lower.sampling.pipelines.check import check_stock_pipeline
        from raybilevel.lower.sampling.pipelines.description import describe

        described = describe(self.directory)
        conditions = None if self.prompts is None else self.prompts.conditions
        return check_stock_pipeline(described, self.settings, conditions)

    def sampler(self, device: str) -> PipelineDraws:
        """Load the pipeline."""
        from raybilevel.lower.sampling.pipelines.loading import load_stock_pipeline
        from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler

        pipeline = load_stock_pipeline(self.directory, self.settings, device)
        steps, options = self.settings.sampling_steps, self.settings.call_options
        return PipelineDraws(self, PipelineSampler(pipeline, device, steps, options))

    @cached_property
    def nfe_per_sample(self) -> int:
        """What a worker's probe counts: the pipeline is loaded here for it."""
        return self.sampler("cpu").probe().nfe_per_sample

    def export(self, directory: Path) -> None:
        """Copy the pipeline."""
        shutil.copytree(self.directory, directory / "pipeline")


class PipelineDraws:
    """A pipeline that is loaded."""

    def __init__(self, model: PipelineModel, sampler: PipelineSampler) -> None:
        from raybilevel.lower.sampling.pipelines.batches import BatchedSampler

        self._model, self._sampler = model, sampler
        self._batches = BatchedSampler(
            sampler, model.named, model.batch_size, may_halve=model.may_halve
        )

    def draw(self, seeds: Sequence[int], conditions: Conditions) -> DrawnSamples:
        """An image a seed."""
        drawn = self._batches.draw(seeds, conditions)
        return DrawnSamples(drawn.images, drawn.cost.nfe, drawn.cost.seconds, drawn.blackened)

    def probe(self) -> PipelineReport:
        """Draw two images, one of them thrice."""
        from raybilevel.lower.sampling.pipelines.probe import probe_pipeline

        prompts = self._model.prompts
        conditions = None if prompts is None else prompts.conditions
        return probe_pipeline(self._sampler, self._model.named, conditions)
