"""`TrainingOptions`: how `ScheduleTuning` trains a network of its own."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_info import Conditioning
from raybilevel.lower.training.optimizer_config import Recipe
from raybilevel.problems.schedule.training_spec import Lesson, ZStep

_LOOKED = 1  # round that looks for where to begin
_WARMUP = 100  # steps until the learning rate is at its highest, or a tenth of a short training


class TrainingOptions(Settings):
    """What counts where no pretrained `model` is given.

    Parameters
    ----------
    network
        Arguments of diffusers' `UNet2DModel`, on top of small defaults for the images' size.
    conditioning
        "noise_level": the network is told log-SNR; "step": the share of the schedule's time, as in
        the paper, which a change of the schedule takes from under it.
    prediction_type
        "v_prediction", "epsilon" or "sample": what the network predicts.
    training_rounds, train_shards, inner_steps
        Rounds that train; shards of each, whose results are averaged; AdamW steps of a shard.
    batch_size, learning_rate, weight_decay, grad_clip
        Of a step. The learning rate rises at first and falls to nothing along half a cosine.
    average_decay
        Of the weights' moving average, a round; samples are drawn with it.
    warmup
        Rounds that train before anything is learned of the schedule; None for all but those that
        the search for where to begin and `updates` need. Gradients at a young network pull the
        schedule into the wrong basin.
    z_step
        How the penalty's network z is stepped along the objective's gradient: "none" (z = y: the
        partial gradient alone), "truncated" (back through the last `grad_steps` sampling steps) or
        "zeroth_order" (pairs in weight space).
    gamma
        The penalty's strength, above 0, or (first, last) of a ramp by equal factors; the larger,
        the smaller the bias and the larger the noise. For z_step other than "none".
    evaluate_every
        Rounds between two looks at the objective while the schedule is not moved.
    compile
        Whether `torch.compile` compiles the network for training; then bits are not promised.
    """

    network: dict[str, Any] = Field(default_factory=dict)
    conditioning: Conditioning = "noise_level"
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "v_prediction"
    training_rounds: int = Field(default=75, ge=1)
    train_shards: int = Field(default=4, ge=1)
    inner_steps: int = Field(default=10, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    grad_clip: float = Field(default=1.0, gt=0)
    average_decay: float = Field(default=0.9, ge=0, lt=1)
    warmup: int | None = Field(default=None, ge=0)
    z_step: ZStep = "none"
    grad_steps: int = Field(default=1, ge=1)
    gamma: float | tuple[float, float] | None = None
    evaluate_every: int = Field(default=10, ge=1)
    compile: bool = False

    @model_validator(mode="after")
    def _penalty(self) -> Self:
        if self.z_step != "none" and self.gamma is None:
            raise InputError(
                f"z_step is '{self.z_step}' without gamma; give gamma, the penalty's strength, or "
                "take z_step 'none'"
            )
        if self.z_step == "none" and self.gamma is not None:
            raise InputError(
                f"gamma is {self.gamma}, but z_step 'none' has no penalty; give z_step "
                "'truncated' or 'zeroth_order'"
            )
        if any(not (0 < g < math.inf) for g in self._gammas or ()):
            raise InputError(f"gamma is {self.gamma}; it must be above 0 and finite")
        return self

    @property
    @abstractmethod
    def _moves(self) -> int:
        """How many updates of the schedule there will be."""

    @property
    def _gammas(self) -> tuple[float, float] | None:
        """In the first and in the last update."""
        if self.gamma is None or isinstance(self.gamma, tuple):
            return self.gamma
        return self.gamma, self.gamma

    @property
    def _warm_rounds(self) -> int:
        if self.warmup is not None:
            return self.warmup
        return max(self.training_rounds - self._moves - _LOOKED, 0)

    @property
    def _lesson(self) -> Lesson:
        steps = self.training_rounds * self.inner_steps
        recipe = Recipe(
            steps, self.learning_rate, max(1, min(_WARMUP, steps // 10)),
            self.weight_decay, self.grad_clip,
        )  # fmt: skip
        return Lesson(recipe, self.batch_size, self.z_step, self.grad_steps, self.compile)

    def _check_rounds(self, updates: int) -> None:
        """Refuse more updates than there are rounds for them."""
        left = self.training_rounds - self._warm_rounds - _LOOKED
        if updates > left:
            raise InputError(
                f"updates is {updates}, but of training_rounds {self.training_rounds} a warmup of "
                f"{self._warm_rounds} and one look leave {max(left, 0)}; train longer, warm up "
                "less, or make fewer"
            )

    def _check_untouched(self, model: str) -> None:
        """Refuse settings of a training that a pretrained model does not get."""
        for name, field in TrainingOptions.model_fields.items():
            if getattr(self, name) != field.get_default(call_default_factory=True):
                raise InputError(
                    f"{name} is {getattr(self, name)!r}, but model '{model}' is pretrained, and "
                    "nothing is trained; leave one of the two out"
                )
