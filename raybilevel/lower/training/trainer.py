"""Local training: H AdamW steps of a network on one device, from and to flat buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raybilevel.lower.training.optimizer_config import Recipe
from raybilevel.lower.training.parameter_vector import FlatWeights, to_numpy

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
    """Steps a network's flat weights.

    Parameters
    ----------
    flat : the network's weights; what it holds between calls is of no consequence.
    recipe : how it is trained.
    """

    def __init__(self, flat: FlatWeights, recipe: Recipe) -> None:
        self._flat, self._recipe = flat, recipe

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
            self._flat.grad.zero_()
            losses.append(add())
            torch.nn.utils.clip_grad_norm_([self._flat.parameter], self._recipe.clip)
            optimiser.param_groups[0]["lr"] = self._recipe.rate(first + i)
            optimiser.step()
        return self._learner(optimiser), torch.stack(losses).tolist()

    def _optimiser(self, start: Learner, first: int) -> torch.optim.AdamW:
        flat, recipe = self._flat, self._recipe
        flat.load(start.weights)
        optimiser = torch.optim.AdamW(
            [flat.parameter], betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True
        )
        device = flat.parameter.device
        optimiser.state[flat.parameter] = {
            "step": torch.tensor(float(first), device=device),
            "exp_avg": torch.tensor(start.mean, device=device),
            "exp_avg_sq": torch.tensor(start.square, device=device),
        }
        return optimiser

    def _learner(self, optimiser: torch.optim.AdamW) -> Learner:
        moments = optimiser.state[self._flat.parameter]
        return Learner(
            self._flat.numpy(), to_numpy(moments["exp_avg"]), to_numpy(moments["exp_avg_sq"])
        )
