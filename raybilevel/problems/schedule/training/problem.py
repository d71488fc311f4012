"""`TrainingSchedule`: a noise schedule and the network that is trained on it, learned in one run.

The lower level trains the network on the schedule that it is sampled at (Xiao et al. 2025, arXiv
2502.08808, Algorithm 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_info import Conditioning
from raybilevel.lower.training.unet import WIDEST, network_config
from raybilevel.problems.base import Arrays, Cost, Problem, Update
from raybilevel.problems.schedule.comparison import INITIAL
from raybilevel.problems.schedule.export import write_levels
from raybilevel.problems.schedule.network import Untrained, usual_scheduler
from raybilevel.problems.schedule.problem import ScheduleProblem
from raybilevel.problems.schedule.real_images.loaded_data import shape_of_data
from raybilevel.problems.schedule.sampling_rounds import Stages
from raybilevel.problems.schedule.training.evaluation import TrainingEvaluation
from raybilevel.problems.schedule.training.joint_training import JointTraining
from raybilevel.problems.schedule.training.network_training import NetworkTraining, first_state
from raybilevel.problems.schedule.training.settings import (
    Penalty,
    TrainingOptimizer,
    TrainingSettings,
)
from raybilevel.problems.schedule.training.spec import TrainingSpec
from raybilevel.problems.schedule.training.worker import TrainingWorker

_TRAINING_NFE = 3  # a sample: forward once, and backward for twice as much


class TrainingSchedule(ScheduleProblem):
    """Learn the noise levels of a diffusion model while it is trained on them.

    Its other arguments are those of `ScheduleProblem`. Where `optimizer.updates` is 0, the network
    is trained on the schedule as its variables begin.

    Parameters
    ----------
    network
        Arguments of diffusers' `UNet2DModel`, on top of small defaults for the images' size.
    conditioning
        "noise_level": the network is told log-SNR; "step": the share of the schedule's time, as in
        the paper, which a change of the schedule takes from under it.
    prediction_type
        "v_prediction", "epsilon" or "sample": what the network predicts.
    optimizer
        `OptimizerSettings`, or a mapping of its arguments; `updates` may be 0.
    training, penalty
        `TrainingSettings` and `Penalty`, or mappings of their arguments; penalty None follows the
        partial gradient alone.
    """

    network: dict[str, Any] = Field(default_factory=dict)
    conditioning: Conditioning = "noise_level"
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "v_prediction"
    optimizer: TrainingOptimizer = TrainingOptimizer()
    training: TrainingSettings = TrainingSettings()
    penalty: Penalty | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_no_model(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "model" in given:
            raise InputError(
                f"model is '{given['model']}', but TrainingSchedule trains a network of its own; "
                "leave it out, or take SamplingSchedule"
            )
        return given

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.training.check_updates(self.optimizer.updates)
        if self.penalty is not None and self.objective != "fid":
            raise InputError(
                f"penalty is given with objective '{self.objective}', but it needs the gradient "
                "of objective 'fid'; take that, or leave penalty out"
            )
        if self.mixed_precision == "fp16":
            raise InputError("mixed_precision is 'fp16', which training does without; take 'bf16'")
        return self

    @property
    def exact(self) -> bool:
        """A compiled network's bits are not promised."""
        return not self.training.compile

    @cached_property
    def _network(self) -> Untrained:
        scheduler = usual_scheduler(
            self.tuned_schedule, self.prediction_type, is_learned=self.optimizer.updates > 0
        )
        config = network_config(shape_of_data(self.data, self.data_options), self.network)
        return Untrained(config, self.conditioning, self.prediction_type, scheduler)

    @property
    def _bounds(self) -> tuple[float, float]:
        return WIDEST

    @property
    def _spec(self) -> TrainingSpec:
        training, penalty = self.training, self.penalty
        spec = TrainingSpec(
            training.weight_optimizer, training.batch_size, compiled=training.compile
        )
        if penalty is None:
            return spec
        return replace(spec, z_step=penalty.z_step, grad_steps=penalty.grad_steps)

    @property
    def joint_training(self) -> JointTraining:
        """Which rounds do what."""
        training, updates = self.training, self.optimizer.updates
        gamma = None if self.penalty is None else self.penalty.ramp
        rounds = self.rounds
        return JointTraining(
            rounds,
            NetworkTraining(
                rounds, self._spec, training.shards, training.inner_steps, training.average_decay
            ),
            training.rounds, training.warm_rounds(updates), updates, gamma,
            training.evaluate_every,
        )  # fmt: skip

    def check(self) -> None:
        """What every schedule problem refuses; extractors without gradients; small data."""
        super().check()
        if self.penalty is not None and self.penalty.z_step == "truncated":
            self.components.check_gradient()
        images, batch = len(self.components.real.folds[0].images), self.training.batch_size
        if images < batch:
            raise InputError(
                f"training.batch_size is {batch}, but data '{self.data}' has {images} images to "
                "train on; take a smaller batch"
            )

    def init(self, seed: int) -> Arrays:
        """The schedule's initial parameters, and the network's first weights."""
        return super().init(seed) | first_state(self._network.weights(seed))

    def worker(self, device: str) -> TrainingWorker:
        """Load the network, the data and the extractors."""
        return TrainingWorker(
            self.components, self.objective, device, self._spec, self.tuned_schedule
        )

    def run_round(self, round_: int, state: Arrays) -> Stages[Update]:
        """As `JointTraining` says."""
        return self.joint_training.run_round(round_, state)

    def _more_subjects(self, learned: np.ndarray) -> Mapping[str, np.ndarray]:
        """The initial schedule's levels, where it is moved."""
        if not self.optimizer.updates:
            return {}
        return {INITIAL: self.space.levels(self.tuned_schedule.init)}

    def export(self, state: Arrays, directory: Path) -> None:
        """A stock pipeline, levels, comparison, samples, and the network for other levels."""
        super().export(state, directory)
        write_levels(directory, self._level_lists(state))
        if self.conditioning == "noise_level":  # else it knows no levels but its own
            from raybilevel.lower.sampling.export import save_network

            save_network(self._network.trained(state), directory / "network", self._network.info)

    def evaluation(self, ends: Sequence[Arrays], samples: int | None = None) -> Problem:
        """The objective at each end's levels with its network, which is trained if it has none."""
        sized = self._sized(samples)
        return TrainingEvaluation(sized, ends, sized.joint_training, sized._network)

    def evaluation_cost(self) -> Cost:
        """A training and the estimates of the objective on its way and at its end."""
        training, nfe = self.training, self.estimation.samples * self.sampling_steps
        estimates = (training.rounds - 1) // training.evaluate_every + 1
        steps = training.shards * training.inner_steps
        round_ = _TRAINING_NFE * steps * training.batch_size
        most = min(training.rounds, training.evaluate_every)
        return Cost(training.rounds * round_ + estimates * nfe, most * round_ + nfe)

    def planned_rounds(self, state: Arrays) -> int:
        """A look at the real images, the training, and the comparison."""
        return self.training.rounds + 2
