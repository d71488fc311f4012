"""What the driver of a training schedule and its training shards agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raybilevel.lower.training.optimizer_config import OptimizerConfig

ZStep = Literal["zeroth_order", "truncated"]

LEARNER = ("weights", "mean", "square")  # what training goes on from, as it is broadcast
SAMPLED = "sampled"  # the weights that samples are drawn with


@dataclass(frozen=True)
class TrainingSpec:
    """What every training shard is told.

    Attributes
    ----------
    optimizer : of the weights.
    batch_size : images a step.
    z_step : how z's upper term is differentiated; None where there is no penalty, and no z.
    grad_steps : last sampling steps that "truncated" goes back through.
    compiled : whether the network is compiled for training.
    """

    optimizer: OptimizerConfig
    batch_size: int
    z_step: ZStep | None = None
    grad_steps: int = 1
    compiled: bool = False
