"""`SamplingSchedule` with objective "teacher": noise levels for any pipeline's own call."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.lower.hub import is_hub_name
from raybilevel.lower.pretrained import PRETRAINED
from raybilevel.lower.sampling.level_lists.sigmas import is_flow, sigma_range, to_logsnr
from raybilevel.lower.sampling.pipelines.settings import Dtype, PipelineSettings
from raybilevel.problems.asked_rewards import check_named
from raybilevel.problems.base import Arrays, Cost, Output, Problem, Stage, Update
from raybilevel.problems.model_options import ModelOptions, pinned_options
from raybilevel.problems.named_pipeline import NamedPipeline
from raybilevel.problems.prompts.prompt_files import read_prompts
from raybilevel.problems.prompts.prompt_list import Condition, PromptList
from raybilevel.problems.schedule.space import ScheduleSpace, make_schedule
from raybilevel.problems.schedule.teacher.drawing import PairedDraws
from raybilevel.problems.schedule.teacher.evaluation import TeacherEvaluation
from raybilevel.problems.schedule.teacher.export import Exporting
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.plan import PairPlan
from raybilevel.problems.schedule.teacher.rounds import TeacherRounds
from raybilevel.problems.schedule.teacher.settings import (
    GaussNewtonSettings,
    PairedEstimation,
    TeacherComparison,
    TeacherOptions,
    scheduler_of,
)
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.problems.schedule.teacher.worker import TeacherWorker
from raybilevel.problems.seeds import sample_seeds, seed_base
from raybilevel.rewards import load_reward, pinned
from raybilevel.schedules import ScheduleName
from raybilevel.upper.variables import Variable

if TYPE_CHECKING:
    from torch import Tensor

_OF_DATA = (
    "data", "data_options", "extractor", "second_extractor", "mixed_precision", "network",
    "conditioning", "prediction_type", "training", "penalty",
)  # fmt: skip
_BATCH = 64  # images
TEACHER = "teacher"


def _whole_numbers(given: Any) -> Any:
    each = given if isinstance(given, (list, tuple)) else [given]
    if each and all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in each):
        return given
    raise InputError(
        f"sampling_steps is {given}; it must be a whole number, at least 1, or a list of such "
        "numbers"
    )


def _named_or_made(given: Any) -> Any:
    if isinstance(given, str) or callable(given):
        return given
    raise InputError(
        f"objective is {given!r}; it must be 'teacher', a reward, or with data 'fid' or 'kid'"
    )


class TeacherSchedule(Settings, Problem):
    """Tune the noise levels of a pipeline's call: few steps that come near to many.

    What is minimised is the mean squared distance between samples of the list of levels and a
    teacher's, of the same noise and prompt; or it is that to begin with, and minus a reward of the
    samples then. Neither data nor labels are needed. Residuals are paired, so that Gauss-Newton
    steps from central differences do with tens of noises.

    Parameters
    ----------
    model
        A diffusers pipeline by directory, "owner/name" on the Hugging Face hub, or the name of one
        that comes along ("mnist-sd").
    objective
        "teacher"; or a reward, as `RewardTuning` takes them: a name, a sum of names
        ("asked_digit + 0.1 * ink"), an import path, or a function.
    sampling_steps
        Levels of the list; or several such numbers, `[4, 6, 8]`: one curve is found that the lists
        of all of them lie on, and the objective is the geometric mean of their distances, or minus
        the mean of their rewards.
    prompts
        What is drawn, where the model wants to know: as `RewardTuning` takes them.
    solver
        {class, options} of the scheduler that the list is for, made from the config of the model's
        own; None for that. "dpm++" is DPMSolverMultistepScheduler.
    teacher, estimation, optimizer, comparison
        `TeacherOptions`, `PairedEstimation`, `GaussNewtonSettings` and `TeacherComparison`, or
        mappings of their arguments.
    schedule, schedule_options
        "knots": each level is a variable, but for the first of flow matching, which is pure noise;
        "cosine", "sigmoid", or one that another package registers: a curve that levels lie on.
    call_options, dtype, model_options, batch_size, export_weights
        As `RewardTuning` takes them.
    """

    said_as: ClassVar[str | None] = "SamplingSchedule"
    registered_as: ClassVar[str | None] = "sampling_schedule"

    model: str | Callable[..., Any]
    objective: Annotated[str | Callable[..., Any], BeforeValidator(_named_or_made)]
    sampling_steps: Annotated[int | tuple[int, ...], BeforeValidator(_whole_numbers)] = 8
    prompts: str | tuple[Condition, ...] | None = None
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
    def _reads_no_data(cls, given: Any) -> Any:
        for name in _OF_DATA:
            if isinstance(given, Mapping) and name in given:
                raise InputError(
                    f"{name} is given, but with objective {given.get('objective')!r} no data are "
                    "looked at and nothing is trained; leave it out, or give objective fid or kid"
                )
        return given

    @model_validator(mode="after")
    def _teacher_is_ahead(self) -> Self:
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
            self.teacher.scheduler, self.teacher.distance, self.batch_size,
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
    def is_rewarded(self) -> bool:
        """Whether the objective is a reward."""
        return self.objective != TEACHER

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

    @property
    def plan(self) -> PairPlan:
        """How noises are cut into shards."""
        shares = None if self.prompt_list is None else tuple(self.prompt_list.shares.tolist())
        return PairPlan(self.estimation.shard_size, shares)

    @property
    def rounds(self) -> TeacherRounds:
        """What the driver does."""
        return TeacherRounds(
            self.source, self.plan, self.space, self.estimation, self.optimizer, self.comparison,
            self.is_rewarded,
        )  # fmt: skip

    def admissible(self, x: Mapping[str, float]) -> dict[str, float]:
        """Levels in rising order of log-SNR, a gap apart; other parameters as they are."""
        return self.space.inner.admissible(x)

    # --- a run ------------------------------------------------------------------------------------

    def init(self, seed: int) -> Arrays:
        """The schedule's initial parameters; nothing is taught yet."""
        x = self.space.inner.schedule.init
        return {
            "x": x,
            "x_start": x,
            "seed_base": seed_base(seed),
            "mu": np.array(np.nan),
            "rival_steps": np.empty((0, 0), int),
            "taught": np.empty((0, 0), np.float32),
            "spacings": np.empty((0, len(x))),
            "reward_noises": np.array(self.estimation.first_samples),
            "updates": np.zeros(1 + self.is_rewarded, int),
            "settled": np.zeros(1 + self.is_rewarded, bool),
        }

    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        """Round 0 finds where to begin, each other one makes an update; the last compares."""
        if round_ == 0:
            return (yield from self.rounds.begin(state))
        which = self.rounds.unsettled(state)
        if which is not None:
            return (yield from self.rounds.update(state, which))
        return (yield from self.rounds.end(state))

    def worker(self, device: str) -> TeacherWorker:
        """Load the pipeline."""
        reward = load_reward(self.objective, "objective", device) if self.is_rewarded else None
        draws = PairedDraws(self.source, self.prompt_list, reward, device)
        return TeacherWorker(draws, self.source.teacher)

    def planned_rounds(self, state: Arrays) -> int:
        """The first look, at most so many updates, and the comparison."""
        return self.optimizer.updates * (1 + self.is_rewarded) + 2

    def lean(self) -> Self:
        """Without the comparison at the end."""
        return self.but(comparison={"samples": 0})

    def evaluation(self, ends: Sequence[Arrays], samples: int | None = None) -> Problem:
        """The objective at each end's levels."""
        return TeacherEvaluation(self, ends, self.rounds, samples or self.estimation.samples)

    def evaluation_cost(self) -> Cost:
        """The lists and their teacher, on as many noises as an update has at most."""
        evaluations = sum(map(self.source.evaluations, self.counts))
        evaluations += 0 if self.is_rewarded else self.teacher.steps
        whole = self.estimation.samples * self.source.nfe_per_step * evaluations
        return Cost(whole, whole)

    # --- what is refused, and what is said --------------------------------------------------------

    def pinned(self, before: Mapping[str, Any] | None = None) -> Self:
        """With the commit that a model of the hub has now."""
        stored = (before or {}).get("model_options")
        options = pinned_options(self.model, self.model_options, stored)
        objective = pinned(self.objective, (before or {}).get("objective"))
        return self.but(model_options=options, objective=objective)

    def check(self) -> None:
        """Refuse schedulers that take no list, and what JSON, tokenizers and rewards tell."""
        self.source.remarks  # noqa: B018 - reading them is the check
        if self.is_rewarded:
            self._check_reward()
        if self.counts[0] < 1 + is_flow(self.source.scheduler):
            raise InputError(
                f"sampling_steps is {self.sampling_steps}, but the first level of flow matching is "
                "pure noise, so that there is nothing to tune in one step; give 2 or more"
            )

    def _check_reward(self) -> None:
        try:
            check_named({"objective": self.objective}, self.prompt_list)
        except InputError as error:
            raise InputError(f"{error}, or it is 'teacher', or with data 'fid' or 'kid'") from error

    def remarks(self) -> list[str]:
        """Those on the pipeline's files."""
        return list(self.source.remarks)

    # --- what is left behind ----------------------------------------------------------------------

    def export(self, state: Arrays, directory: Path) -> None:
        """`schedule.json` with the calls to paste, the pipeline, the comparison, and images."""
        exporting = Exporting(self.source, self.space, self.comparison, self.export_weights)
        exporting.write(state, directory)

    def samples(self, state: Arrays, n: int, seed: int, device: str) -> Tensor:
        """`n` images (n, C, H, W) by the stock call with the learned list, the longest."""
        import torch

        _, sampler, *_ = self.source.samplers(device)
        seeds = sample_seeds(seed_base(seed), 0, n)
        known = self.source.conditions
        lists = state.get("sigmas", np.concatenate(self.space.lists(state["x"])))
        sigmas = self.space.parted(lists)[-1]
        drawn = []
        for first in range(0, n, _BATCH):
            part = range(first, min(first + _BATCH, n))
            conditions = None if known is None else [known[i % len(known)] for i in part]
            drawn.append(
                sampler.draw([seeds[i] for i in part], conditions, sigmas, exact=False).images
            )
        return torch.cat(drawn)
