"""Local training: H AdamW steps of a network on one device, from and to parameter vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raybilevel.lower.training.optimizer_config import OptimizerConfig
from raybilevel.lower.training.parameter_vector import ParameterVector, to_numpy

Accumulate = Callable[[], Tensor]
"""Adds to the gradients that the network holds, and gives the loss ()."""


@dataclass(frozen=True, eq=False)
class Learner:
    """All that training goes on from: what is broadcast, returned and averaged.

    Attributes
    ----------
    weights, mean, square : (P,) float32, the weights and AdamW's moments.
    """

    weights: np.ndarray
    mean: np.ndarray
    square: np.ndarray

    @classmethod
    def begin(cls, weights: np.ndarray) -> Learner:
        """Before the first step."""
        return cls(weights, np.zeros_like(weights), np.zeros_like(weights))


class Trainer:
    """Steps a network's parameter vector.

    Parameters
    ----------
    weights : the network's; what it holds between calls is of no consequence.
    config : how it is trained.
    """

    def __init__(self, weights: ParameterVector, config: OptimizerConfig) -> None:
        self._weights, self._config = weights, config

    def run(
        self, start: Learner, first: int, accumulate: Iterable[Accumulate]
    ) -> tuple[Learner, list[float]]:
        """From `start` a step for each of `accumulate`, the first of them the run's step `first`.

        Returns
        -------
        Where they led, and the loss before each of them.
        """
        optimiser = self._optimiser(start, first)
        losses = []
        for i, add in enumerate(accumulate):
            self._weights.grad.zero_()
            losses.append(add())
            torch.nn.utils.clip_grad_norm_([self._weights.parameter], self._config.clip)
            optimiser.param_groups[0]["lr"] = self._config.rate(first + i)
            optimiser.step()
        return self._learner(optimiser), torch.stack(losses).tolist()

    def _optimiser(self, start: Learner, first: int) -> torch.optim.AdamW:
        weights, config = self._weights, self._config
        weights.load(start.weights)
        optimiser = torch.optim.AdamW(
            [weights.parameter], betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
        )
        device = weights.parameter.device
        optimiser.state[weights.parameter] = {
            "step": torch.tensor(float(first), device=device),
            "exp_avg": torch.tensor(start.mean, device=device),
            "exp_avg_sq": torch.tensor(start.square, device=device),
        }
        return optimiser

    def _learner(self, optimiser: torch.optim.AdamW) -> Learner:
        moments = optimiser.state[self._weights.parameter]
        return Learner(
            self._weights.numpy(), to_numpy(moments["exp_avg"]), to_numpy(moments["exp_avg_sq"])
        )
