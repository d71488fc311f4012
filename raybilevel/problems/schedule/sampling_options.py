"""`SamplingOptions`: all that `ScheduleTuning` is told, but for how it trains."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raybilevel.errors import InputError
from raybilevel.lower.sampling.solvers import Sampler
from raybilevel.problems.schedule.components import ExtractorSpec
from raybilevel.problems.schedule.objective import Metric
from raybilevel.problems.schedule.shards import Plan
from raybilevel.problems.schedule.training_options import TrainingOptions
from raybilevel.schedules import ScheduleName

STEP = 0.005
_FEWEST = 4  # two chunks of two
_FEWEST_COMPARED = 128  # the jackknife's chunks hold four

Share = Annotated[float, Field(gt=0, le=0.5)]


class SamplingOptions(TrainingOptions):
    """What is tuned, on which data, and how an evaluation and an update are made.

    Parameters
    ----------
    model
        A diffusers pipeline directory: unconditional, in pixel space, with a `UNet2DModel` of
        positional time embedding; or "digits" or "mnist5k-16", small models that come along. None
        to train a network while its schedule is learned: see `TrainingOptions` for how.
    data
        What the samples should look like: "digits", "mnist5k", "mnist5k-16", or a path to idx
        files, npz, parquet or a folder of images. A fifth is held out of the objective.
    sampler
        "dpm++" (DPM-Solver++(2M)) or "ddim": what is tuned, and exported.
    sampling_steps
        Network evaluations a sample, N.
    schedule
        "knots": each of the N levels is a variable; "cosine" or "sigmoid": N levels evenly spaced
        in the time of such a schedule; or the name of one that another package registers, likewise.
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
        How many updates, and how far the first goes, as a share of each variable's box, or of
        those named. What is found is the mean of the second half, or where they began if that is
        better on new noises.
    compare_samples, compare_steps
        Samples that the learned levels and the stock schedulers are compared with at the end (0 for
        no comparison), and the numbers of steps that the latter are given beside `sampling_steps`.
    at
        Values of all variables by name: then nothing is tuned, but the objective evaluated there,
        after a whole training if there is one.
    mixed_precision
        "no", "fp16" or "bf16".
    """

    resumable: ClassVar[frozenset[str]] = frozenset({"compare_samples", "compare_steps"})

    model: str | None = None
    data: str
    sampler: Sampler = "dpm++"
    sampling_steps: int = Field(default=10, ge=1)
    schedule: ScheduleName = "knots"
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
    step_size: Share | dict[str, Share] = STEP
    compare_samples: int = Field(default=2048, ge=0)
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
        if self.compare_samples and self.compare_samples < _FEWEST_COMPARED:
            raise InputError(
                f"compare_samples is {self.compare_samples}; it must be at least "
                f"{_FEWEST_COMPARED}, or 0"
            )
        if self._plan.chunks < 2 or self.samples_per_evaluation < 2 * self._plan.chunks:
            raise InputError(
                f"shard_size is {self._plan.shard_size}; it must be at least 2 and cut the "
                f"{self.samples_per_evaluation} samples of an evaluation into at least two shards"
            )
        return self

    @model_validator(mode="after")
    def _trains_or_not(self) -> Self:
        if self.model is not None:
            self._check_untouched(self.model)
            return self
        if self.at is None:
            self._check_rounds(self.updates)
        if self.z_step != "none" and self.metric != "fid":
            raise InputError(
                f"z_step is '{self.z_step}' with metric '{self.metric}', but z minds 'fid' alone"
            )
        if self.mixed_precision == "fp16":
            raise InputError("mixed_precision is 'fp16', which training does without; take 'bf16'")
        return self

    @property
    def _plan(self) -> Plan:
        return Plan.of(self.samples_per_evaluation, self.shard_size, self.compare_samples)
