"""What a user says of a schedule of a pipeline, and what follows from it alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, Self, cast

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from raybilevel.config.settings import Settings
from raybilevel.data import Shape
from raybilevel.errors import InputError
from raybilevel.lower.hub import is_hub_name
from raybilevel.lower.pretrained import PRETRAINED
from raybilevel.lower.sampling.level_lists.sigmas import is_flow, sigma_range, to_logsnr
from raybilevel.lower.sampling.pipelines.settings import Dtype, PipelineSettings
from raybilevel.problems.model_options import ModelOptions
from raybilevel.problems.named_pipeline import NamedPipeline
from raybilevel.problems.prompts.prompt_files import read_prompts
from raybilevel.problems.prompts.prompt_list import Condition, PromptList
from raybilevel.problems.schedule.real_images.images import ExtractorSpec, RealImages
from raybilevel.problems.schedule.real_images.loaded_data import shape_of_data, statistics_of
from raybilevel.problems.schedule.real_images.options import DataOptions
from raybilevel.problems.schedule.space import ScheduleSpace, make_schedule
from raybilevel.problems.schedule.teacher.comparison import Metric
from raybilevel.problems.schedule.teacher.given import (
    HELD_AGAINST_DATA,
    OF_DATA,
    TEACHER,
    check_data,
    check_trains_nothing,
    named_or_made,
    whole_numbers,
)
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.settings import (
    GaussNewtonSettings,
    PairedEstimation,
    TeacherComparison,
    TeacherOptions,
    scheduler_of,
)
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.schedules import ScheduleName
from raybilevel.upper.variables import Variable

_ANY = 3, 64, 64  # of statistics: what an extractor is tried on
_COMPARED, _JUDGED = 64, 256  # noises of the comparison


class TeacherScheduleSettings(Settings):
    """The arguments of `TeacherSchedule`.

    Parameters
    ----------
    model
        A diffusers pipeline by directory, "owner/name" on the Hugging Face hub, or the name of one
        that comes along ("mnist-sd"); also one in pixel space, but for those of the hub.
    objective
        "teacher"; or a reward, as `RewardTuning` takes them: a name, a sum of names
        ("asked_digit + 0.1 * ink"), an import path, or a function; or, with `data`, "fid" to the
        training data's moments, or "kid".
    sampling_steps
        Levels of the list; or several such numbers, `[4, 6, 8]`: one curve is found that the lists
        of all of them lie on, and the objective is the geometric mean of their distances, minus
        the mean of their rewards, or the mean of their FIDs or KIDs.
    prompts
        What is drawn, where the model wants to know: as `RewardTuning` takes them.
    data, data_options, extractor, second_extractor
        Of "fid" and "kid", as `ScheduleProblem` takes them; images have to be of the size that the
        pipeline draws. KID is taken to the training data while it is tuned, to the held-out data in
        the comparison, and so in the history's last row.
    solver
        {class, options} of the scheduler that the list is for, made from the config of the model's
        own; None for that. "dpm++" is DPMSolverMultistepScheduler, which a model in pixel space has
        in any case.
    teacher, estimation, optimizer, comparison
        `TeacherOptions`, `PairedEstimation`, `GaussNewtonSettings` and `TeacherComparison`, or
        mappings of their arguments.
    schedule, schedule_options
        "knots": each level is a variable, but for the first of flow matching, which is pure noise;
        "cosine", "sigmoid", or one that another package registers: a curve that levels lie on.
    call_options, dtype, model_options, batch_size, export_weights
        As `RewardTuning` takes them.
    """

    model: str | Callable[..., Any]
    objective: Annotated[str | Callable[..., Any], BeforeValidator(named_or_made)]
    sampling_steps: Annotated[int | tuple[int, ...], BeforeValidator(whole_numbers)] = 8
    prompts: str | tuple[Condition, ...] | None = None
    data: str | None = None
    data_options: DataOptions = DataOptions()
    extractor: ExtractorSpec = "auto"
    second_extractor: ExtractorSpec = "auto"
    solver: str | dict[str, Any] | None = None
    teacher: TeacherOptions = TeacherOptions()
    estimation: PairedEstimation = PairedEstimation()
    optimizer: GaussNewtonSettings = GaussNewtonSettings()
    comparison: TeacherComparison = TeacherComparison()
    schedule: ScheduleName = "knots"
    schedule_options: dict[str, Any] = Field(default_factory=dict)
    call_options: dict[str, Any] = Field(default_factory=dict)
    dtype: Dtype = "auto"
    model_options: ModelOptions = ModelOptions()
    batch_size: int | None = Field(default=None, ge=1)
    export_weights: bool = False

    @model_validator(mode="before")
    @classmethod
    def _trains_nothing(cls, given: Any) -> Any:
        return check_trains_nothing(given)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        fields = type(self).model_fields
        known = {name: getattr(self, name) for name in OF_DATA}
        more = {name: value for name, value in known.items() if value != fields[name].default}
        check_data(self.objective, self.data, more)
        scheduler_of(self.solver, self.objective)
        if self.teacher.steps <= self.counts[-1]:
            raise InputError(
                f"teacher.steps is {self.teacher.steps}, but a teacher has more steps than "
                f"sampling_steps {self.counts[-1]}; give more"
            )
        return self

    # --- what is tuned ----------------------------------------------------------------------------

    @cached_property
    def source(self) -> TaughtModel:
        """The pipeline, its scheduler and its teacher."""
        settings = PipelineSettings(
            None, self.call_options, scheduler_of(self.solver, self.objective), self.dtype,
            self.model_options.given,
        )  # fmt: skip
        return TaughtModel(
            NamedPipeline(self.model, settings, self._on_hub), self.prompt_list, self.teacher.steps,
            self.teacher.scheduler, self.teacher.distance,
            self.batch_size or self.estimation.shard_size,
        )  # fmt: skip

    @property
    def _on_hub(self) -> bool:
        named = isinstance(self.model, str) and self.model not in PRETRAINED
        return named and is_hub_name(str(self.model))

    @cached_property
    def prompt_list(self) -> PromptList | None:
        """The distinct prompts, read from their file once."""
        return None if self.prompts is None else read_prompts(self.prompts)

    @property
    def metric(self) -> Metric | None:
        """What images are judged by; None where the distance to the teacher is all."""
        if self.objective == TEACHER:
            return None
        return cast("Metric", self.objective) if self.objective in HELD_AGAINST_DATA else "reward"

    @cached_property
    def real(self) -> RealImages | None:
        """What samples are held against, of FID and KID."""
        if self.data is None:
            return None
        return RealImages(
            self.data, self._drawn(self.data), self.extractor, self.second_extractor,
            self.data_options,
        )  # fmt: skip

    def _drawn(self, data: str) -> Shape:
        """The size of samples where it is known before any is drawn; else that of the data."""
        if self.source.bakes:
            return self.source.levels.image_shape
        return _ANY if statistics_of(data) is not None else shape_of_data(data, self.data_options)

    @property
    def compared(self) -> TeacherComparison:
        """The comparison, with a number of noises."""
        if self.comparison.samples is not None:
            return self.comparison
        return self.comparison.but(samples=_COMPARED if self.real is None else _JUDGED)

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of steps, each once, rising."""
        given = self.sampling_steps
        return tuple(sorted({given} if isinstance(given, int) else set(given)))

    @cached_property
    def space(self) -> SigmaSpace:
        """Variables and sigmas."""
        scheduler = self.source.scheduler
        flow = is_flow(scheduler)
        low, high = sigma_range(scheduler)
        bounds = tuple(to_logsnr(np.array([high, low]), flow=flow).tolist())
        steps = self.counts[-1] - flow
        schedule = make_schedule(self.schedule, steps, bounds, self.schedule_options)
        return SigmaSpace(ScheduleSpace(schedule, steps, bounds), flow, self.counts)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The schedule's parameters."""
        return self.space.inner.schedule.variables
