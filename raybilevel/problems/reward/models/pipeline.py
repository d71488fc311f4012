"""Any diffusers pipeline but the plainest pixel-space ones, drawn from by its own call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybilevel.errors import UnguidableError
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.problems.named_pipeline import NamedPipeline
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.models.base import DrawnSamples, Model

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from raybilevel.lower.sampling.guidance.call import Guide, PathTerms
    from raybilevel.lower.sampling.guidance.sampler import GuidedSampler
    from raybilevel.lower.sampling.guidance.steering import Steering
    from raybilevel.lower.sampling.noise import NoiseDraws
    from raybilevel.lower.sampling.pipelines.probe import PipelineReport
    from raybilevel.lower.sampling.pipelines.sampler import Drawn, PipelineSampler


@dataclass(frozen=True)
class PipelineModel(Model):
    """A pipeline by directory, hub name or the name of one that comes along, or a function's.

    Parameters
    ----------
    spec : any of these; the function, which takes no argument, or its import path.
    settings : how it is loaded and called.
    batch_size, may_halve : as `BatchedSampler` takes them.
    gradient_checkpointing : as `GuidedSampler` takes it.
    export_weights : whether those of a model of the hub are exported too.
    on_hub : whether `spec` names a model of the hub: decided once, whatever lies on other nodes.
    """

    spec: str | Callable[..., Any]
    settings: PipelineSettings
    prompts: PromptList | None = None
    batch_size: int | None = None
    may_halve: bool = False
    gradient_checkpointing: bool = False
    export_weights: bool = False
    on_hub: bool = False

    @property
    def _source(self) -> NamedPipeline:
        return NamedPipeline(self.spec, self.settings, self.on_hub)

    @property
    def conditions(self) -> Conditions:
        """Its prompts or class labels."""
        return None if self.prompts is None else self.prompts.conditions

    def check(self) -> None:
        """Refuse what its JSON and its tokenizers tell; what it draws, a worker's probe tells."""
        self.remarks()
        self.why_unguidable()  # files are read here, and not by a driver

    def check_guided(self) -> None:
        """By its class and its scheduler's, which its files name."""
        if why := self.why_unguidable():
            raise UnguidableError(why)

    def why_unguidable(self) -> str | None:
        """What its files say against it; None where they allow it, or a function returns it."""
        return self._unguidable

    @cached_property
    def _unguidable(self) -> str | None:
        """Read once, as remarks are."""
        from raybilevel.lower.sampling.guidance.sampler import unguidable_class, without_noise

        described = self._source.described()
        if described is None:
            return None
        own = {"class": described.parts.get("scheduler", "")}
        scheduler = (self.settings.scheduler or own)["class"]
        why = unguidable_class(described.made.__name__, scheduler, self.named)
        if (
            why is None
            and scheduler == "DDIMScheduler"
            and not self.settings.call_options.get("eta")
        ):
            return without_noise(self.named)
        return why

    def remarks(self) -> list[str]:
        """Which files are used, what is off, and which prompts are cut."""
        return list(self._remarks)

    @cached_property
    def _remarks(self) -> tuple[str, ...]:
        """What its files tell, which are read once: where a run is begun, and not by its driver."""
        return self._source.check(self.named, self.conditions)

    def sampler(self, device: str) -> PipelineDraws:
        """Load the pipeline."""
        from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler

        pipeline, remarks, dtype = self._source.loaded(device, self.conditions)
        steps, options = self.settings.sampling_steps, self.settings.call_options
        drawing = PipelineSampler(pipeline, device, steps, options)
        return PipelineDraws(self, drawing, remarks, dtype)

    @cached_property
    def nfe_per_sample(self) -> int:
        """Of one image, drawn by the pipeline loaded here: comparisons plan by it."""
        kept = ("offload", "slicing")  # for a GPU's memory
        options = {k: v for k, v in self.settings.model_options.items() if k not in kept}
        here = replace(self, settings=replace(self.settings, model_options=options))
        conditions = None if self.conditions is None else self.conditions[:1]
        return here.sampler("cpu").draw([0], conditions).nfe

    @property
    def least_nfe_per_sample(self) -> int:
        """One a step, where it is said how many there are."""
        return self.settings.sampling_steps or 1

    def drawn_in(self, dtype: str | None) -> PipelineModel:
        """The same with the dtype that its workers had, for `call.json` to say."""
        if dtype is None or self.settings.dtype != "auto":
            return self
        return replace(self, settings=replace(self.settings, dtype=dtype))

    def export(self, directory: Path) -> None:
        """Write the pipeline as stock, or what of a model of the hub is not there: `pipeline/`."""
        self._source.export(directory, export_weights=self.export_weights)


class PipelineDraws:
    """A pipeline that is loaded.

    Parameters
    ----------
    remarks : what was found while it was.
    dtype : that the device decided on, where it was left to that.
    """

    def __init__(
        self,
        model: PipelineModel,
        sampler: PipelineSampler,
        remarks: Sequence[str],
        dtype: str | None = None,
    ) -> None:
        from raybilevel.lower.sampling.pipelines.batches import BatchedSampler

        self._model, self._dtype, self.remarks = model, dtype, tuple(remarks)
        self._sampler = sampler
        self.why_fixed: str | None = None
        self._batches = BatchedSampler(
            sampler, model.named, model.batch_size, may_halve=model.may_halve
        )

    @property
    def pipeline(self) -> Any:
        """What draws."""
        return self._batches.pipeline

    def draw(self, seeds: Sequence[int], conditions: Conditions) -> DrawnSamples:
        """An image a seed."""
        return self._of(self._batches.draw(seeds, conditions))

    def _of(self, drawn: Drawn) -> DrawnSamples:
        cost = drawn.cost
        return DrawnSamples(drawn.images, cost.nfe, cost.seconds, drawn.blackened, self._dtype)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """(N, D): all that the pipeline takes from a sample's generator."""
        return self._draws.noise(seeds)

    def draw_noise(self, noise: Tensor, conditions: Conditions) -> DrawnSamples:
        """An image a row."""
        return self._of(self._batches.draw(noise, conditions))

    def draw_guided(
        self, seeds: Sequence[int], conditions: Conditions, guide: Guide
    ) -> tuple[DrawnSamples, PathTerms]:
        """A guided image a seed."""
        drawn, terms = self._guided.draw(seeds, conditions, guide)
        return self._of(drawn), terms

    def draw_steered(
        self, seeds: Sequence[int], conditions: Conditions, steering: Steering
    ) -> tuple[DrawnSamples, np.ndarray]:
        """A steered image a seed."""
        drawn, paid = self._guided.draw_steered(seeds, conditions, steering)
        return self._of(drawn), paid

    def operations(self, conditions: Conditions) -> tuple[float, float, DrawnSamples]:
        """Of one image, whose prompt has been encoded before."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            drawn = self.draw([0], conditions)
        named = type(self._guided.network).__name__
        network = sum(counter.get_flop_counts().get(named, {}).values())
        return network / drawn.nfe, counter.get_total_flops() - network, drawn

    @cached_property
    def _guided(self) -> GuidedSampler:
        """Tried on one image."""
        from raybilevel.lower.sampling.guidance.sampler import GuidedSampler

        made = GuidedSampler(
            self._sampler,
            self._model.named,
            self._model.batch_size,
            gradient_checkpointing=self._model.gradient_checkpointing,
        )
        conditions = self._model.conditions
        made.check(None if conditions is None else conditions[:1])
        return made

    @property
    def _draws(self) -> NoiseDraws:
        if self._batches.noise_draws is None:  # where no probe came before, an image shows it
            conditions = self._model.conditions
            self._batches.draw([0], None if conditions is None else conditions[:1])
        noted = self._batches.noise_draws
        assert noted is not None, "a pipeline that has drawn has shown what it takes"
        return noted

    def probe(self) -> PipelineReport:
        """Draw two images, one of them thrice; and one from its noise, to see whether it is it."""
        from raybilevel.lower.sampling.pipelines.noise_probe import why_noise_not_given
        from raybilevel.lower.sampling.pipelines.probe import probe_pipeline

        named, conditions = self._model.named, self._model.conditions
        report = probe_pipeline(self._batches, named, conditions)
        self.why_fixed = why_noise_not_given(self._batches, report, named)
        return replace(report, remarks=(*self.remarks, *report.remarks))
