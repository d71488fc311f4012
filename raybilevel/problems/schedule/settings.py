"""The groups of settings that the schedule problems share."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.problems.schedule.shard_plan import ShardPlan

STEP = 0.005
_FEWEST = 4  # two chunks of two
_FEWEST_COMPARED = 128  # the jackknife's chunks hold four

Share = Annotated[float, Field(gt=0, le=0.5)]


class Estimation(Settings):
    """How the objective is estimated at one schedule.

    Parameters
    ----------
    samples, shard_size
        Samples of an estimate, and of a shard (None: an eighth of them).
    """

    said_as: ClassVar[str | None] = "estimation"

    samples: int = 512
    shard_size: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.samples < _FEWEST:
            raise InputError(
                f"estimation.samples is {self.samples}, but an objective with a standard error "
                f"needs at least {_FEWEST}, and FID more than there are features"
            )
        plan = ShardPlan.of(self.samples, self.shard_size, 0)
        if plan.chunks < 2 or self.samples < 2 * plan.chunks:
            raise InputError(
                f"estimation.shard_size is {plan.shard_size}; it must be at least 2 and cut the "
                f"{self.samples} samples of an estimate into at least two shards"
            )
        return self


class OptimizerSettings(Settings):
    """How the schedule is moved.

    Parameters
    ----------
    directions, direction_kind
        Of an update's gradient: pairs of estimates each. "orthogonal" takes at most one for each
        variable.
    updates, step_size
        How many updates, and how far the first goes, as a share of each variable's box, or of
        those named. What is found is the mean of the second half, or where they began if that is
        better on new noises.
    """

    said_as: ClassVar[str | None] = "optimizer"

    directions: int = Field(default=4, ge=1)
    direction_kind: Literal["orthogonal", "independent"] = "orthogonal"
    updates: int = Field(default=12, ge=1)
    step_size: Share | dict[str, Share] = STEP


class ComparisonSettings(Settings):
    """The comparison of the learned levels with the stock schedulers at the end.

    Parameters
    ----------
    samples
        Of each that is compared; 0 for no comparison.
    steps
        Numbers of steps that the stock schedulers are given beside `sampling_steps`.
    """

    said_as: ClassVar[str | None] = "comparison"

    samples: int = Field(default=2048, ge=0)
    steps: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.samples and self.samples < _FEWEST_COMPARED:
            raise InputError(
                f"comparison.samples is {self.samples}; it must be at least {_FEWEST_COMPARED}, "
                "or 0"
            )
        return self
