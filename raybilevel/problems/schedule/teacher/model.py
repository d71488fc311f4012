"""The pipeline that a schedule is found for, and its teacher: what workers load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_lists.lists import SchedulerLists
from raybilevel.lower.sampling.level_lists.sigmas import is_flow
from raybilevel.lower.sampling.level_lists.taken import TAKEN, TWICE, why_no_list
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.lower.sampling.pipelines.loading import scheduler_like
from raybilevel.problems.named_pipeline import NamedPipeline
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.schedule.teacher.settings import Distance
from raybilevel.problems.schedule.teacher.shards import Through

if TYPE_CHECKING:
    from raybilevel.lower.sampling.level_lists.list_sampler import ListSampler

_CONVERGED = {
    "class": "DPMSolverMultistepScheduler",
    "options": {"timestep_spacing": "trailing", "use_karras_sigmas": False},
}
"""Of Gaussian models at tens of steps."""


@dataclass(frozen=True)
class TaughtModel:
    """A pipeline by its name, and how it is drawn from. Picklable.

    Attributes
    ----------
    pipeline : with the scheduler that is tuned for.
    prompts : what is drawn; None where nothing says so.
    teacher_steps, teacher_scheduler : as `TeacherOptions` has them.
    distance : where samples are compared.
    batch_size : samples that are drawn at once within a shard.
    """

    pipeline: NamedPipeline
    prompts: PromptList | None
    teacher_steps: int
    teacher_scheduler: Mapping[str, Any] | None
    distance: Distance
    batch_size: int | None

    @property
    def named(self) -> str:
        """What sentences call it."""
        return f"model '{self.pipeline.spec}'"

    @property
    def class_name(self) -> str:
        """Of the pipeline."""
        described = self.pipeline.described()
        assert described is not None, "its scheduler was read from its files"
        return described.made.__name__

    @property
    def conditions(self) -> Conditions:
        """Prompts or class labels."""
        return None if self.prompts is None else self.prompts.conditions

    @property
    def teacher(self) -> Through:
        """What samples are to come near to."""
        scheduler = self.teacher_scheduler
        if scheduler is None and not is_flow(self.scheduler):
            scheduler = _CONVERGED
        return Through("teacher", None, scheduler=scheduler, steps=self.teacher_steps)

    @cached_property
    def scheduler(self) -> Any:
        """The scheduler that is tuned for, without the model.

        Raises
        ------
        InputError
            If a function returns the pipeline, so that its scheduler is not known here.
        """
        import diffusers

        described = self.pipeline.described()
        if described is None or "scheduler" not in described.parts:
            raise InputError(
                f"{self.named} is a function's, but the noise levels of its scheduler are needed "
                "before it is called; give a directory, a model of the hub, or one that comes along"
            )
        made = getattr(diffusers, described.parts["scheduler"])
        own = made.from_config(described.config("scheduler", "scheduler_config.json"))
        asked = self.pipeline.settings.scheduler
        return own if asked is None else scheduler_like(own, asked)

    def lists(self, mu: float) -> SchedulerLists:
        """How the scheduler is given a list.

        Parameters
        ----------
        mu : that the pipeline gives it besides; nan where it gives none.
        """
        return SchedulerLists(self.scheduler, {} if np.isnan(mu) else {"mu": mu})

    def evaluations(self, steps: int) -> int:
        """Steps of a sampler of the first order that cost as many evaluations as `steps` levels."""
        return 2 * steps - 1 if type(self.scheduler).__name__ in TWICE else steps

    @cached_property
    def nfe_per_step(self) -> int:
        """Evaluations of a sample at a step, by one drawn here: two with guidance."""
        sampler, _, _ = self.samplers("cpu")
        conditions = None if self.conditions is None else self.conditions[:1]
        return sampler.draw_stock([0], conditions, self.teacher.scheduler, 2).cost.nfe // 2

    def check(self) -> tuple[str, ...]:
        """Refuse what JSON and tokenizers tell; returns what a user should know.

        Raises
        ------
        InputError
            If the scheduler takes no list, or adds noise of its own; and what
            `NamedPipeline.check` raises.
        """
        remarks = self.pipeline.check(self.named, self.conditions)
        scheduler, described = self.scheduler, self.pipeline.described()
        if why := why_no_list(scheduler):
            raise InputError(f"solver: {why}")
        name = type(scheduler).__name__
        if described is not None and TAKEN[name].argument not in described.call.parameters:
            raise InputError(
                f"{self.named} is a {described.made.__name__}, whose call takes no "
                f"{TAKEN[name].argument}, so that no list of noise levels reaches its scheduler; "
                "give a pipeline whose call does"
            )
        if TAKEN[name].resamples:
            raise InputError(
                f"solver: {name} adds noise of its own at its steps, so that samples of the same "
                "noise are not near to a teacher's; take DPMSolverMultistepScheduler"
            )
        return remarks

    def samplers(self, device: str) -> tuple[ListSampler, ListSampler, tuple[str, ...]]:
        """What draws samples to be compared, what draws images, and remarks on the pipeline."""
        from raybilevel.lower.sampling.level_lists.list_sampler import ListSampler
        from raybilevel.lower.sampling.pipelines.batches import BatchedSampler
        from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler

        pipeline, remarks, _ = self.pipeline.loaded(device, self.conditions)
        drawing = PipelineSampler(pipeline, device, None, self.pipeline.settings.call_options)
        batches = BatchedSampler(drawing, self.named, self.batch_size)
        images = ListSampler(batches, self.named, self.conditions, latents=False)
        if self.distance == "pixels":
            return images, images, tuple(remarks)
        compared = ListSampler(batches, self.named, self.conditions, latents=True)
        return compared, images, tuple(remarks)
