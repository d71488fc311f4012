"""How a network is trained, but for what its loss is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class OptimizerConfig:
    """What AdamW is told.

    Attributes
    ----------
    steps : AdamW steps of the whole training, one after the other.
    learning_rate : at its highest.
    warmup : steps until it is that high; from there half a cosine down to nothing.
    weight_decay : AdamW's.
    clip : norm that gradients are cut to.
    """

    steps: int
    learning_rate: float = 3e-3
    warmup: int = 100
    weight_decay: float = 0.01
    clip: float = 1.0

    def rate(self, step: int) -> float:
        """Learning rate of step `step`, from 0."""
        return self.learning_rate * decayed(step, self.steps, self.warmup)


def decayed(step: int, steps: int, warmup: int) -> float:
    """Share of a learning rate: linear warm-up, then half a cosine down to nothing."""
    return min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)))
