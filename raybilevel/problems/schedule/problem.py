"""What the two schedule problems share: which noise levels samples are drawn at, and what for.

Upper level: min_q f(q, z), f = FID or KID of samples drawn with schedule q and network z (Xiao et
al. 2025, arXiv 2502.08808, section 3.2), by two-point zeroth-order gradients (its Algorithm 5).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.lower.sampling.solvers import solver_name
from raybilevel.problems.base import Arrays, Problem
from raybilevel.problems.schedule.checks import check_steps
from raybilevel.problems.schedule.components import Components
from raybilevel.problems.schedule.export import write_comparison, write_pipeline
from raybilevel.problems.schedule.network import Network
from raybilevel.problems.schedule.optimizer import TwoPointOptimizer
from raybilevel.problems.schedule.real_images.images import ExtractorSpec
from raybilevel.problems.schedule.real_images.objective import ObjectiveName
from raybilevel.problems.schedule.real_images.options import DataOptions
from raybilevel.problems.schedule.real_images.reference import check_given
from raybilevel.problems.schedule.real_images.remarks import remarks_on
from raybilevel.problems.schedule.sampling_rounds import SamplingRounds
from raybilevel.problems.schedule.settings import (
    STEP,
    ComparisonSettings,
    Estimation,
    OptimizerSettings,
)
from raybilevel.problems.schedule.shard_plan import ShardPlan
from raybilevel.problems.schedule.space import ScheduleSpace, make_schedule
from raybilevel.problems.seeds import seed_base
from raybilevel.schedules import Schedule, ScheduleName
from raybilevel.upper.variables import Variable

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 256  # images


class ScheduleProblem(Settings, Problem):
    """The noise levels that a diffusion model is sampled at, and what is minimised by them.

    Parameters
    ----------
    data
        What the samples should look like: "digits", "mnist5k", "mnist5k-16", "mnist5k-32", a path
        to idx files, npz, npy, parquet, WebDataset tars or a folder of images, or a data set of the
        Hugging Face hub as "owner/name"; see `raybilevel.data.load`. A fifth is held out of the
        objective. Or an npz with `mu` and `sigma`, reference statistics of `extractor`, where
        nothing is trained.
    data_options
        `DataOptions`, or a mapping of its arguments: resolution, crop, and columns of tables.
    solver
        "dpm++" (DPM-Solver++(2M)), "ddim", or the name of one that another package registers: what
        is tuned, and exported. Or {class, options}, the class a name of diffusers' for one of the
        first two.
    sampling_steps
        Network evaluations a sample, N.
    schedule
        "knots": each of the N levels is a variable; "cosine" or "sigmoid": N levels evenly spaced
        in the time of such a schedule; or the name of one that another package registers, likewise.
    schedule_options
        Arguments of `raybilevel.schedules.knots`, `cosine` or `sigmoid`: bounds as
        `Variable(name, init, low, high)`, or as numbers for knots.
    objective
        "fid" to the training data's moments, or "kid".
    extractor
        What the objective's features come from: "auto", or None, for a small classifier, trained
        once on the data's labels, or, where there are none, for Inception where that is installed,
        and else for what needs no labels; any other that `load_extractor` knows; an `nn.Module`, a
        callable that makes one, or its import path.
    second_extractor
        Another, for the comparison at the end alone; "auto", or None, for one of another kind.
    estimation, optimizer, comparison
        `Estimation`, `OptimizerSettings` and `ComparisonSettings`, or mappings of their arguments.
    mixed_precision
        "no", "fp16" or "bf16".
    """

    data: str
    data_options: DataOptions = DataOptions()
    solver: str = "dpm++"
    sampling_steps: int = Field(default=10, ge=1)
    schedule: ScheduleName = "knots"
    schedule_options: dict[str, Any] = Field(default_factory=dict)
    objective: ObjectiveName = "fid"
    extractor: ExtractorSpec = "auto"
    second_extractor: ExtractorSpec = "auto"
    estimation: Estimation = Estimation()
    optimizer: OptimizerSettings = OptimizerSettings()
    comparison: ComparisonSettings = ComparisonSettings()
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"

    @field_validator("solver", mode="before")
    @classmethod
    def _solver_name(cls, given: Any) -> str:
        return solver_name(given)

    @field_validator("extractor", "second_extractor")
    @classmethod
    def _auto(cls, given: ExtractorSpec) -> ExtractorSpec:
        return "auto" if given is None else given

    # --- what is tuned ----------------------------------------------------------------------------

    @property
    @abstractmethod
    def _network(self) -> Network:
        """What samples are drawn with."""

    @property
    @abstractmethod
    def _bounds(self) -> tuple[float, float]:
        """Least and greatest log-SNR that the network knows."""

    @cached_property
    def tuned_schedule(self) -> Schedule:
        """What is tuned."""
        return make_schedule(
            self.schedule, self.sampling_steps, self._bounds, self.schedule_options
        )

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The schedule's parameters."""
        return self.tuned_schedule.variables

    @cached_property
    def space(self) -> ScheduleSpace:
        """Variables and levels."""
        return ScheduleSpace(self.tuned_schedule, self.sampling_steps, self._bounds)

    @cached_property
    def components(self) -> Components:
        """What workers load."""
        return Components(
            self._network, self.data, self.solver, self.mixed_precision,
            self.extractor, self.second_extractor, self.data_options,
        )  # fmt: skip

    def admissible(self, x: Mapping[str, float]) -> dict[str, float]:
        """Levels in rising order, a gap apart; other schedules' parameters as they are."""
        return self.space.admissible(x)

    @property
    def resumable(self) -> Mapping[str, Any]:
        """What the comparison at the end takes."""
        given = self.comparison
        return {"comparison.samples": given.samples, "comparison.steps": given.steps}

    @property
    def _names(self) -> list[str]:
        return [v.name for v in self.variables]

    # --- how --------------------------------------------------------------------------------------

    @property
    def rounds(self) -> SamplingRounds:
        """What the driver does with samples."""
        return SamplingRounds(
            self.plan,
            self.space,
            self._two_point,
            self.components,
            self.objective,
            self.comparison.steps,
            self._more_subjects,
        )

    @property
    def plan(self) -> ShardPlan:
        """How samples are cut into shards."""
        return ShardPlan.of(
            self.estimation.samples, self.estimation.shard_size, self.comparison.samples
        )

    @property
    def _two_point(self) -> TwoPointOptimizer:
        settings = self.optimizer
        m = settings.directions
        if settings.direction_kind == "orthogonal":
            m = min(m, len(self.variables))
        return TwoPointOptimizer(
            self.space, m, settings.direction_kind, self.step_sizes, settings.updates
        )

    @property
    def step_sizes(self) -> np.ndarray:
        """How far the first update goes, as shares (d,) of the box."""
        given = self.optimizer.step_size
        if not isinstance(given, Mapping):
            return np.full(len(self.variables), given)
        return np.array([given.get(name, STEP) for name in self._names])

    @abstractmethod
    def _more_subjects(self, learned: np.ndarray) -> Mapping[str, np.ndarray]:
        """Levels by name that are compared with the learned ones (steps,)."""

    def init(self, seed: int) -> Arrays:
        """The schedule's initial parameters; where the run's noises begin."""
        x = self.tuned_schedule.init
        nothing = np.empty((0, len(x)))
        return {
            "x": x,
            "x_start": x,
            "seed_base": seed_base(seed),
            "gradients": nothing,
            "trace": nothing,
        }

    def lean(self) -> Self:
        """Without the comparison at the end."""
        return self.but(comparison={"samples": 0})

    def _sized(self, samples: int | None) -> Self:
        """The same with so many samples an estimate, in shards as large as they are."""
        if samples is None:
            return self
        return self.but(estimation={"samples": samples, "shard_size": self.plan.shard_size})

    # --- what is refused, and what is said --------------------------------------------------------

    def check(self) -> None:
        """Refuse numbers of steps that cannot be, and models, data, extractors that do not fit."""
        self.tuned_schedule.check_prediction(self.components.info.prediction_type)
        check_steps(self.components, self.sampling_steps, self.comparison.steps)
        if isinstance(self.optimizer.step_size, Mapping):
            named = sorted(self.optimizer.step_size)
            if not set(named) <= set(self._names):
                raise InputError(
                    f"optimizer.step_size names {named}, but the variables are {self._names}"
                )
        if self.components.real.statistics is not None:
            check_given(self.data, self.objective, self.extractor, self.second_extractor)
        self.components.check()

    def remarks(self) -> list[str]:
        """What was done to the data; what there is to judge by; fewer samples than features."""
        counts = {
            "estimation.samples": self.estimation.samples if self.objective == "fid" else None,
            "comparison.samples": self.comparison.samples or None,
            "data": self.components.real.count,
        }
        given = {name: count for name, count in counts.items() if count is not None}
        return remarks_on(self.components.real, given)

    # --- what is left behind ----------------------------------------------------------------------

    def export(self, state: Arrays, directory: Path) -> None:
        """A stock pipeline with the schedule baked in, levels, comparison, and samples."""
        levels = self.space.levels(state["x"])
        unet = self.components.network.trained(state)
        components = self.components
        write_pipeline(unet, components.info, components.solver, levels, directory)
        write_comparison(state, self.rounds.subjects(state), directory)

    def _level_lists(self, state: Arrays) -> dict[str, list[float]]:
        """The levels of a state, and those before they were learned."""
        before = state.get("x_before", state["x_start"])
        lists = {"levels": state["x"], "before": before}
        return {name: self.space.levels(x).tolist() for name, x in lists.items()}

    def samples(self, state: Arrays, n: int, seed: int, device: str) -> Tensor:
        """`n` images (n, C, H, W), as the exported pipeline draws them from one generator."""
        import torch

        sampler = self.components.sampler_on(device, self.components.network.trained(state))
        levels = self.space.levels(state["x"]).tolist()
        batches = sampler.noise(seed, n).split(_BATCH)
        return torch.cat([sampler.sample(noise, levels).cpu() for noise in batches])
