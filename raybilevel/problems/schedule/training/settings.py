"""The groups of settings that say how `TrainingSchedule` trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.lower.training.optimizer_config import OptimizerConfig
from raybilevel.problems.schedule.settings import OptimizerSettings
from raybilevel.problems.schedule.training.spec import ZStep

_LOOKED = 1  # round that looks for where to begin
_WARMUP = 100  # steps until the learning rate is at its highest, or a tenth of a short training


class TrainingOptimizer(OptimizerSettings):
    """How the schedule is moved while the network trains.

    Parameters
    ----------
    updates
        As of `OptimizerSettings`; 0 trains on the schedule as its variables begin.
    """

    updates: int = Field(default=12, ge=0)


class TrainingSettings(Settings):
    """How the network is trained.

    Parameters
    ----------
    rounds, shards, inner_steps
        Rounds that train; shards of each, whose results are averaged; AdamW steps of a shard.
    batch_size, learning_rate, weight_decay, grad_clip
        Of a step. The learning rate rises at first and falls to nothing along half a cosine.
    average_decay
        Of the weights' moving average, a round; samples are drawn with it.
    warmup
        Rounds that train before anything is learned of the schedule; None for all but those that
        the search for where to begin and `optimizer.updates` need. Gradients at a young network
        pull the schedule into the wrong basin.
    evaluate_every
        Rounds between two estimates of the objective while the schedule is not moved.
    compile
        Whether `torch.compile` compiles the network for training; then bits are not promised.
    """

    said_as: ClassVar[str | None] = "training"

    rounds: int = Field(default=75, ge=1)
    shards: int = Field(default=4, ge=1)
    inner_steps: int = Field(default=10, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    grad_clip: float = Field(default=1.0, gt=0)
    average_decay: float = Field(default=0.9, ge=0, lt=1)
    warmup: int | None = Field(default=None, ge=0)
    evaluate_every: int = Field(default=10, ge=1)
    compile: bool = False

    def warm_rounds(self, updates: int) -> int:
        """Rounds that train before anything is learned of the schedule."""
        if self.warmup is not None:
            return self.warmup
        return max(self.rounds - updates - _LOOKED, 0)

    @property
    def weight_optimizer(self) -> OptimizerConfig:
        """What AdamW is told."""
        steps = self.rounds * self.inner_steps
        return OptimizerConfig(
            steps, self.learning_rate, max(1, min(_WARMUP, steps // 10)),
            self.weight_decay, self.grad_clip,
        )  # fmt: skip

    def check_updates(self, updates: int) -> None:
        """Refuse more updates than there are rounds for them."""
        warm = self.warm_rounds(updates)
        left = self.rounds - warm - _LOOKED
        if updates and updates > left:
            raise InputError(
                f"optimizer.updates is {updates}, but of training.rounds {self.rounds} a warmup of "
                f"{warm} and one look leave {max(left, 0)}; train longer, warm up less, or make "
                "fewer"
            )


class Penalty(Settings):
    """The penalty term: what the trained network contributes to the schedule's gradient.

    A second network z is trained beside the network y, for the objective f too.

    Parameters
    ----------
    z_step
        How z is stepped along the objective's gradient: "truncated" (back through the last
        `grad_steps` sampling steps) or "zeroth_order" (pairs in weight space).
    gamma
        The penalty's strength, above 0, or (first, last) of a ramp by equal factors; the larger,
        the smaller the bias and the larger the noise.
    grad_steps
        Of "truncated".
    """

    said_as: ClassVar[str | None] = "penalty"

    z_step: ZStep
    gamma: float | tuple[float, float]
    grad_steps: int = Field(default=1, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _both(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "z_step" in given and "gamma" not in given:
            raise InputError(
                f"penalty.z_step is '{given['z_step']}' without gamma; give gamma, the penalty's "
                "strength, or leave penalty out"
            )
        if isinstance(given, Mapping) and "gamma" in given and "z_step" not in given:
            raise InputError(
                f"penalty.gamma is {given['gamma']} without z_step; give z_step 'truncated' or "
                "'zeroth_order'"
            )
        return given

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if any(not (0 < g < math.inf) for g in self.ramp):
            raise InputError(f"penalty.gamma is {self.gamma}; it must be above 0 and finite")
        return self

    @property
    def ramp(self) -> tuple[float, float]:
        """Strength in the first and in the last update."""
        return self.gamma if isinstance(self.gamma, tuple) else (self.gamma, self.gamma)
