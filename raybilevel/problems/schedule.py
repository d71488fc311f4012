"""`ScheduleTuning`: which noise levels a trained diffusion model should be sampled at.

Upper level: min_q f(q, z), f = FID or KID of samples drawn with schedule q and network z (Xiao et
al. 2025, arXiv 2502.08808, section 3.2), by two-point zeroth-order gradients (its Algorithm 5).
The lower level is sampling: with a pretrained network nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from raybilevel.config import Settings
from raybilevel.errors import InputError
from raybilevel.lower.solvers import Sampler
from raybilevel.metrics import few_samples_warning
from raybilevel.problems.base import Arrays, Output, Problem, Stage, Status, Stop, Update
from raybilevel.problems.schedule_compare import Real, compare, list_subjects, real_arrays
from raybilevel.problems.schedule_export import check_divides, write
from raybilevel.problems.schedule_objective import Fid, Kid, Metric, Objective
from raybilevel.problems.schedule_plan import Plan
from raybilevel.problems.schedule_search import Search, make_schedule
from raybilevel.problems.schedule_solver import Solver
from raybilevel.problems.schedule_source import ExtractorSpec, Source
from raybilevel.problems.schedule_stop import why_stop
from raybilevel.problems.schedule_worker import MOST_REAL, ScheduleWorker
from raybilevel.problems.seeds import seed_base
from raybilevel.upper.variables import Variable

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 256  # images
_LOOKS = 3  # at where to begin
_KEEP = 3  # one of so many is looked at again
_FEWEST = 4  # two chunks of two
_FEWEST_COMPARED = 128  # the jackknife's chunks hold four


class ScheduleTuning(Settings, Problem):
    """Tune the noise levels that a pretrained diffusion model is sampled at.

    Parameters
    ----------
    model
        A diffusers pipeline directory: unconditional, in pixel space, with a `UNet2DModel` of
        positional time embedding; or "digits" or "mnist5k-16", small models that come along.
    data
        What the samples should look like: "digits", "mnist5k", "mnist5k-16", or a path to idx
        files, npz, parquet or a folder of images. A fifth is held out of the objective.
    sampler
        "dpm++" (DPM-Solver++(2M)) or "ddim": what is tuned, and exported.
    sampling_steps
        Network evaluations a sample, N.
    schedule
        "knots": each of the N levels is a variable; "cosine" or "sigmoid": N levels evenly spaced
        in the time of such a schedule.
    schedule_options
        Arguments of `raybilevel.schedules.knots`, `cosine` or `sigmoid`: bounds as
        `Variable(name, init, low, high)`, or as numbers for knots.
    metric
        "fid" to the training data's moments, or "kid".
    extractor
        What the metric's features come from: None for a small classifier, trained once on the
        data's labels; an `nn.Module`, a callable that makes one, or its import path; "inception".
    second_extractor
        Another, for the comparison at the end alone; None for a classifier of another kind, or,
        where the data have no labels to train one on, for the same.
    directions, direction_kind
        Of an update's gradient: pairs of evaluations each. "orthogonal" takes at most one for each
        variable.
    samples_per_evaluation, shard_size
        Samples of an evaluation, and of a shard (None: an eighth of them).
    updates, step_size
        How many updates, and how far the first goes, as a share of each variable's box. What is
        found is the mean of the second half, or where they began if that is better on new noises.
    compare_samples, compare_steps
        Samples that the learned levels and the stock schedulers are compared with at the end, and
        the numbers of steps that the latter are given beside `sampling_steps`.
    at
        Values of all variables by name: then the objective is evaluated there, and nothing tuned.
    mixed_precision
        "no", "fp16" or "bf16".
    """

    resumable: ClassVar[frozenset[str]] = frozenset({"compare_samples", "compare_steps"})

    model: str
    data: str
    sampler: Sampler = "dpm++"
    sampling_steps: int = Field(default=10, ge=1)
    schedule: Literal["knots", "cosine", "sigmoid"] = "knots"
    schedule_options: dict[str, Any] = Field(default_factory=dict)
    metric: Metric = "fid"
    extractor: ExtractorSpec = None
    second_extractor: ExtractorSpec = None
    estimator: Literal["zeroth_order"] = "zeroth_order"
    directions: int = Field(default=4, ge=1)
    direction_kind: Literal["orthogonal", "independent"] = "orthogonal"
    samples_per_evaluation: int = 512
    shard_size: int | None = Field(default=None, ge=1)
    updates: int = Field(default=12, ge=1)
    step_size: float = Field(default=0.005, gt=0, le=0.5)
    compare_samples: int = 2048
    compare_steps: tuple[int, ...] = ()
    at: dict[str, float] | None = None
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.samples_per_evaluation < _FEWEST:
            raise InputError(
                f"samples_per_evaluation is {self.samples_per_evaluation}, but a metric with a "
                f"standard error needs at least {_FEWEST}, and FID more than there are features"
            )
        if self.compare_samples < _FEWEST_COMPARED:
            raise InputError(
                f"compare_samples is {self.compare_samples}; it must be at least {_FEWEST_COMPARED}"
            )
        if self._plan.chunks < 2 or self.samples_per_evaluation < 2 * self._plan.chunks:
            raise InputError(
                f"shard_size is {self._plan.shard_size}; it must be at least 2 and cut the "
                f"{self.samples_per_evaluation} samples of an evaluation into at least two shards"
            )
        return self

    @property
    def _plan(self) -> Plan:
        return Plan.of(self.samples_per_evaluation, self.shard_size, self.compare_samples)

    @cached_property
    def source(self) -> Source:
        """What workers load."""
        return Source(
            self.model, self.data, self.sampler, self.mixed_precision,
            self.extractor, self.second_extractor,
        )  # fmt: skip

    @cached_property
    def search(self) -> Search:
        """Variables and levels."""
        info = self.source.info
        made = make_schedule(
            self.schedule, self.sampling_steps, info.bounds, _variables(self.schedule_options)
        )
        made.check_prediction(info.prediction_type)
        return Search(made, self.sampling_steps, info.bounds)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The schedule's parameters."""
        return self.search.schedule.variables

    @property
    def _solver(self) -> Solver:
        m = self.directions
        if self.direction_kind == "orthogonal":
            m = min(m, len(self.variables))
        return Solver(self.search, m, self.direction_kind, self.step_size, self.updates)

    def check(self) -> None:
        """Refuse numbers of steps that cannot be, and models, data, extractors that do not fit."""
        train_steps = len(self.source.info.logsnr)
        given = [("sampling_steps", self.sampling_steps)]
        given += [("compare_steps", steps) for steps in self.compare_steps]
        for name, steps in given:
            if not 1 <= steps <= train_steps:
                raise InputError(
                    f"{name} is {steps}, but model '{self.model}' takes from 1 to {train_steps} of "
                    "them"
                )
        if self.sampler == "ddim":
            check_divides(self.sampling_steps, train_steps)
        self._check_at()
        self.source.check()

    def _check_at(self) -> None:
        """Refuse values of other variables, or levels that do not rise."""
        names = [v.name for v in self.variables]
        if self.at is None:
            return
        if sorted(self.at) != sorted(names):
            raise InputError(f"at names {sorted(self.at)}, but the variables are {names}")
        x = np.array([self.at[name] for name in names])
        if not np.allclose(self.search.schedule.project(x), x, atol=1e-9):
            raise InputError(f"at is {self.at}, which is outside the variables' bounds")

    def remarks(self) -> list[str]:
        """Warnings: fewer samples than features, and no second extractor."""
        train, _ = self.source.folds
        features = self.source.extractor("cpu")(train.images[:2]).shape[1]
        counts = {
            "samples_per_evaluation": self.samples_per_evaluation if self.metric == "fid" else None,
            "compare_samples": self.compare_samples,
            "data": len(train.images),
        }
        warnings = {
            name: few_samples_warning(count, features)
            for name, count in counts.items()
            if count is not None
        }
        said = [f"{name}: {warning}" for name, warning in warnings.items() if warning is not None]
        if self.source.has_second:
            return said
        return [*said, "second_extractor: data without labels have no second one, so its columns "
                "repeat the objective's; give one"]  # fmt: skip

    def worker(self, device: str) -> ScheduleWorker:
        """Load the model, the data and the extractors."""
        return ScheduleWorker(self.source, self.metric, device)

    def trial(self, x: Mapping[str, float]) -> ScheduleTuning:
        """The objective alone, once, at the variables `x`, by name."""
        return self.model_copy(update={"at": dict(x)})

    def init(self, seed: int) -> Arrays:
        """No levels yet: the first round finds where to begin."""
        x = self.search.schedule.init
        nothing = np.empty((0, len(x)))
        return {"x": x, "seed_base": seed_base(seed), "gradients": nothing, "trace": nothing}

    def stage(self, round_: int, state: Arrays, done: list[Output]) -> Stage | Update:
        """Round 0 finds where to begin, each other one makes an update; the last compares."""
        if round_ == 0:
            return self._begin(state, done)
        if round_ > self.updates:
            return self._end(round_, state, done)
        solver = self._solver
        if not done:
            points = solver.points(solver.pairs(round_, state))
            return self._plan.evaluate(round_, 0, state, points)
        return Update(*solver.step(round_, state, self._objective(state), done[0]))

    def _begin(self, state: Arrays, done: list[Output]) -> Stage | Update:
        """See real images; then look at many schedules, at fewer and fewer of them more closely.

        Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943), a third each time.
        """
        seen = len(done)
        if seen < len(self.source.folds):
            count = len(self.source.folds[seen].images)
            return self._plan.real(0, seen, seen, min(count, MOST_REAL) if seen else count)
        state = state | real_arrays(done[0].sums, done[1].rows)
        if self.at is not None:
            return self._evaluate_at(state, done)
        starts, stock = self._starts()
        field, found = list(range(len(starts))), None
        for rung, looked in enumerate(done[len(self.source.folds) :]):
            found = self._solver.measure(self._objective(state), looked, len(field))
            ranking = np.argsort([value for value, _ in found], kind="stable")
            if rung == 0:  # what the picture calls before: the best that diffusers offers
                state |= {"x_before": starts[next(i for i in ranking.tolist() if i < stock)]}
            if rung == _LOOKS - 1:
                best = int(ranking[0])
                return Update(*self._solver.begin(state, starts[field[best]], found[best]))
            field = [field[int(i)] for i in ranking[: math.ceil(len(field) / _KEEP)]]
        points = [self.search.levels(starts[i]) for i in field]
        return self._plan.look(seen - len(self.source.folds), 0, seen, state, points)

    def _evaluate_at(self, state: Arrays, done: list[Output]) -> Stage | Update:
        assert self.at is not None
        x = np.array([self.at[v.name] for v in self.variables])
        if len(done) == len(self.source.folds):
            return self._plan.evaluate(0, len(done), state, [self.search.levels(x)])
        (found,) = self._solver.measure(self._objective(state), done[-1], 1)
        state, row = self._solver.begin(state | {"x_before": x}, x, found)
        return Update(state, row, Stop(Status.CONVERGED, "evaluated as asked for"))

    def _starts(self) -> tuple[list[np.ndarray], int]:
        """Where the search may begin, and how many of these, the first, are stock spacings."""
        from raybilevel.lower.rivals import stock_levels_visited

        visited = stock_levels_visited(self.source.info.scheduler, self.sampling_steps)
        return self.search.starts(visited.values()), len(visited)

    def _objective(self, state: Arrays) -> Objective:
        return Fid(Real.of(state, "objective").train) if self.metric == "fid" else Kid()

    def _end(self, round_: int, state: Arrays, done: list[Output]) -> Stage | Update:
        """Take the mean of the last updates, or the start if that is better; compare, and stop."""
        found = [self._solver.average(state["trace"]), state["x_start"]]
        if not done:
            points = [self.search.levels(x) for x in found]
            return self._plan.look(_LOOKS, round_, 0, state, points)
        measured = self._solver.measure(self._objective(state), done[0], len(found))
        best = int(np.argmin([value for value, _ in measured]))
        state = state | {"x": found[best]}
        subjects = self.subjects(state)
        if len(done) == 1:
            return self._plan.compare(round_, 1, state, subjects)
        rows, size = done[1].rows, len(subjects)
        table = compare(state, rows, size)
        evaluations = rows["steps"].reshape(size, -1)[:, 0]
        ended = {"comparison": table, "comparison_steps": evaluations, "shown": rows["shown"]}
        u = self.search.to_unit(state["x"])
        stop = why_stop(self.variables, u, state["gradients"])
        return Update(state | ended, self._last_row(state, measured[best], done[1].nfe), stop)

    def subjects(self, state: Arrays) -> list[dict[str, Any]]:
        """What is compared: learned levels, those begun with, their stock form, and the rivals."""
        return list_subjects(self.search, self.source, state, self.compare_steps)

    def _last_row(self, state: Arrays, measured: tuple[float, float], nfe: int) -> dict[str, float]:
        values = zip(self.variables, state["x"], strict=True)
        row = {f"config/{v.name}": float(x) for v, x in values}
        return row | {
            "upper_loss": measured[0],
            "upper_loss_se": measured[1],
            "fid_floor": Real.of(state, "objective").floor,
            "fid_second_floor": Real.of(state, "second").floor,
            "nfe_comparison": float(nfe),
        }

    def export(self, state: Arrays, directory: Path) -> None:
        """A stock pipeline with the schedule baked in, levels, comparison, and samples."""
        write(state, self.search, self.source, self.subjects(state), directory)

    def samples(self, state: Arrays, n: int, seed: int, device: str) -> Tensor:
        """`n` images (n, C, H, W), as the exported pipeline draws them from one generator."""
        import torch

        sampler = self.source.sampler_on(device)
        levels = self.search.levels(state["x"]).tolist()
        batches = sampler.noise(seed, n).split(_BATCH)
        return torch.cat([sampler.sample(noise, levels).cpu() for noise in batches])

    def planned_rounds(self, state: Arrays) -> int:
        """The first look, the updates, and the comparison."""
        return 1 if self.at is not None else self.updates + 2


def _variables(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with each mapping, as YAML has it, made a `Variable`, and other values numbers."""
    return {name: _option(name, value) for name, value in options.items()}


def _option(name: str, value: Any) -> Any:
    where = f"schedule_options.{name}"
    if isinstance(value, Mapping):
        try:
            return Variable(**value)
        except TypeError as error:
            raise InputError(
                f"{where} is {dict(value)}, but a variable has name, init, low, high and scale"
            ) from error
    if not isinstance(value, str):
        return value
    try:
        return float(value)  # YAML takes 1e-4 for a word
    except ValueError:
        raise InputError(f"{where} is '{value}'; it must be a number or a variable") from None
