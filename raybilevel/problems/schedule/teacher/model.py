"""The pipeline that a schedule is found for, and its teacher: what workers load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_info import LevelInfo, read_levels
from raybilevel.lower.sampling.level_lists.lists import SchedulerLists
from raybilevel.lower.sampling.level_lists.sigmas import is_flow
from raybilevel.lower.sampling.level_lists.stock import stock_samplers
from raybilevel.lower.sampling.level_lists.taken import (
    BAKED,
    DPMPP_2M,
    SPACINGS,
    TAKEN,
    TWICE,
    why_no_list,
)
from raybilevel.lower.sampling.pipeline_folders import NETWORK
from raybilevel.lower.sampling.pipelines.call import Conditions
from raybilevel.lower.sampling.pipelines.deterministic_schedulers import adds_noise
from raybilevel.lower.sampling.pipelines.loading import scheduler_like
from raybilevel.problems.named_pipeline import NamedPipeline
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.schedule.teacher.settings import Distance
from raybilevel.problems.schedule.teacher.shards import Through

if TYPE_CHECKING:
    from raybilevel.lower.sampling.level_lists.list_sampler import ListSampler

_CONVERGED = "dpm++ 2m trailing"
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
        if scheduler is None and is_flow(self.base):
            scheduler = {"class": type(self.base).__name__}
        elif scheduler is None:
            scheduler = stock_samplers(self.base, every_spacing=False)[_CONVERGED]
        return Through("teacher", None, scheduler=scheduler, steps=self.teacher_steps)

    @cached_property
    def bakes(self) -> bool:
        """Whether it is in pixel space, so that its call takes no list: levels are baked in."""
        described = self.pipeline.described()
        parts = {} if described is None else described.parts
        return set(parts) == {"unet", "scheduler"} and parts["unet"] == NETWORK

    @cached_property
    def levels(self) -> LevelInfo:
        """Of a model in pixel space; `InputError` where they cannot be baked into it."""
        files = self.pipeline.files
        assert files is not None, "its parts were read from its files"
        return read_levels(files, variant=self.pipeline.settings.variant)

    @cached_property
    def scheduler(self) -> Any:
        """The scheduler that is tuned for, without the model; `InputError` as from `base`."""
        asked = self.pipeline.settings.scheduler
        if self.bakes and (asked is None or asked.get("class") == BAKED):
            plain = dict.fromkeys((*SPACINGS, "euler_at_final"), False)
            asked = {"class": BAKED, "options": {**DPMPP_2M, **plain, "lower_order_final": True}}
        return self.base if asked is None else scheduler_like(self.base, asked)

    @cached_property
    def base(self) -> Any:
        """The model's own scheduler, of whose config teachers and rivals are made.

        Raises
        ------
        InputError
            If a function returns the pipeline, so that its scheduler is not known here.
        """
        import diffusers

        described = self.pipeline.described()
        if described is None or "scheduler" not in described.parts:
            raise InputError(
                f"{self.named} is a function, which workers alone call, but the noise levels of "
                "its scheduler are needed before; give a directory, a model of the hub, or one "
                "that comes along"
            )
        made = getattr(diffusers, described.parts["scheduler"])
        return made.from_config(described.config("scheduler", "scheduler_config.json"))

    def lists(self, mu: float) -> SchedulerLists:
        """How the scheduler is given a list.

        Parameters
        ----------
        mu : that the pipeline gives it besides; nan where it gives none.
        """
        return SchedulerLists(self.scheduler, {} if np.isnan(mu) else {"mu": mu})

    @property
    def takes_whole(self) -> bool:
        """Whether levels have to be those of whole timesteps."""
        return TAKEN[type(self.scheduler).__name__].whole and not self.bakes

    def evaluations(self, steps: int) -> int:
        """Steps of a sampler of the first order that cost as many evaluations as `steps` levels."""
        return 2 * steps - 1 if type(self.scheduler).__name__ in TWICE else steps

    @cached_property
    def nfe_per_step(self) -> int:
        """Evaluations of a sample at a step, by one drawn here: two with guidance."""
        sampler, *_ = self.samplers("cpu")
        conditions = None if self.conditions is None else self.conditions[:1]
        return sampler.draw_stock([0], conditions, self.teacher.scheduler, 2).cost.nfe // 2

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know; files are read once, and what they tell against it is refused.

        Raises
        ------
        InputError
            If the scheduler takes no list, or adds noise of its own; and what
            `NamedPipeline.check` raises.
        """
        remarks = self.pipeline.check(self.named, self.conditions)
        for name in ("sigmas", "timesteps"):
            if name in self.pipeline.settings.call_options:
                raise InputError(
                    f"call_options has {name}, but the list is what is tuned; leave it out"
                )
        if self.bakes:
            self._check_bakes()
        self._check_takes_a_list()
        teacher = self.teacher.scheduler
        assert teacher is not None, "a teacher has a scheduler of its own"
        self._check_is_still(self.scheduler, "solver")
        self._check_is_still(scheduler_like(self.base, teacher), "teacher.scheduler")
        return remarks

    def _check_takes_a_list(self) -> None:
        given = self.pipeline.settings.scheduler is not None
        if why := why_no_list(self.scheduler):
            raise InputError(f"{'solver' if given else f'{self.named} without solver'}: {why}")
        described = self.pipeline.described()
        argument = TAKEN[type(self.scheduler).__name__].argument
        takes = described is None or argument in described.call.parameters
        if described is not None and not (takes or self.bakes):
            raise InputError(
                f"{self.named} is a {described.made.__name__}, whose call takes no {argument}, so "
                "that no list of noise levels reaches its scheduler; give a pipeline whose call "
                "does, or another solver"
            )

    def _check_bakes(self) -> None:
        made, options = type(self.scheduler).__name__, self.pipeline.settings.call_options
        if made != BAKED:
            raise InputError(
                f"solver: levels of {self.named}, which is in pixel space, are baked into its "
                f"scheduler, and a {made} cannot hold them; take {BAKED}"
            )
        given = (self.pipeline.settings.scheduler or {}).get("options")
        if given:
            raise InputError(
                f"solver.options has {next(iter(given))}, but levels of {self.named}, which is in "
                "pixel space, are baked for DPM-Solver++ of the second order; leave it out"
            )
        if self.pipeline.on_hub:
            raise InputError(
                f"{self.named} is in pixel space, and its levels are baked into what is exported, "
                "which needs its files; download it, and give the directory"
            )
        self.levels  # noqa: B018 - reading them is the check
        if options:
            raise InputError(
                f"call_options has {next(iter(options))}, but {self.named} is in pixel space and "
                "called with a number of steps alone; leave it out"
            )

    def _check_is_still(self, scheduler: Any, where: str) -> None:
        """Refuse what adds noise at its steps: the same noise would not lead to the same sample."""
        name = type(scheduler).__name__
        if (name in TAKEN and TAKEN[name].resamples) or adds_noise(scheduler):
            raise InputError(
                f"{where}: {name} as it is configured adds noise of its own at its steps, so that "
                "samples of the same noise are not near to each other; take one that does not, "
                "such as DPMSolverMultistepScheduler"
            )

    def loaded(self, device: str) -> Any:
        """The pipeline, with its weights."""
        pipeline, *_ = self.pipeline.loaded(device, self.conditions)
        return pipeline

    def samplers(self, device: str) -> tuple[ListSampler, ListSampler, tuple[str, ...], str]:
        """What draws samples to be compared, what draws images, remarks, and the dtype."""
        from raybilevel.lower.sampling.level_lists.list_sampler import ListSampler
        from raybilevel.lower.sampling.pipelines.batches import BatchedSampler
        from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler

        pipeline, remarks, found = self.pipeline.loaded(device, self.conditions)
        if self.bakes:
            from raybilevel.lower.sampling.level_lists.pixel_pipeline import PixelPipeline

            pipeline = PixelPipeline(pipeline.unet, self.scheduler)
        dtype = found or self.pipeline.settings.dtype
        drawing = PipelineSampler(pipeline, device, None, self.pipeline.settings.call_options)
        batches = BatchedSampler(drawing, self.named, self.batch_size)
        images = ListSampler(
            batches, self.named, self.conditions, self.base, latents=False, bakes=self.bakes
        )
        if self.distance == "pixels" or self.bakes:
            return images, images, tuple(remarks), dtype
        compared = ListSampler(batches, self.named, self.conditions, self.base, latents=True)
        return compared, images, tuple(remarks), dtype
