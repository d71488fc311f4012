"""The schedule problem's network: pretrained and in a directory, or yet to be trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from raybilevel.lower.pretrained import pipeline_directory
from raybilevel.lower.sampling.level_info import Conditioning, LevelInfo, read_levels
from raybilevel.lower.training.unet import TRAIN_STEPS, new_info, new_unet
from raybilevel.schedules import Schedule, cosine


@dataclass(frozen=True)
class Pretrained:
    """A pipeline directory, or a name in `PRETRAINED`."""

    model: str

    def __str__(self) -> str:
        return f"model '{self.model}'"

    @property
    def directory(self) -> Path:
        """The model's pipeline directory."""
        return pipeline_directory(self.model)

    @property
    def info(self) -> LevelInfo:
        """The model's noise levels."""
        return read_levels(self.directory)

    def unet(self) -> Any:
        """The network as it was trained."""
        from raybilevel.lower.sampling.pixel import load_pipeline

        return load_pipeline(self.directory).unet


@dataclass(frozen=True)
class Untrained:
    """A network that the run trains.

    Attributes
    ----------
    config : arguments of `UNet2DModel`.
    conditioning, prediction_type, clip : as `LevelInfo` has them.
    scheduler : config of the stock scheduler that others would sample it with.
    """

    config: Mapping[str, Any]
    conditioning: Conditioning
    prediction_type: str
    clip: float | None
    scheduler: Mapping[str, Any]

    def __str__(self) -> str:
        return "the network"

    @cached_property
    def info(self) -> LevelInfo:
        """What it will have been trained on."""
        return new_info(
            self.config, self.conditioning, self.prediction_type, self.clip, self.scheduler
        )

    def unet(self) -> Any:
        """The network, whose weights are yet to be loaded."""
        return new_unet(self.config, 0)

    def weights(self, seed: int) -> np.ndarray:
        """First weights (P,) float32."""
        from raybilevel.lower.training.parameter_vector import FlatWeights

        return FlatWeights(new_unet(self.config, seed)).numpy()


def usual_scheduler(
    schedule: Schedule, x: np.ndarray | None, prediction_type: str, clip: float | None
) -> dict[str, Any]:
    """The stock scheduler that a network is sampled with where nothing is learned.

    On the schedule at x (d,), or where it begins; knots begin at the cosine schedule, which then
    is what they are compared with.
    """
    if x is None and hasattr(schedule, "gap"):
        schedule = cosine()
    config = schedule.scheduler_config(schedule.init if x is None else x, TRAIN_STEPS)
    clipping = {"clip_sample": clip is not None, "clip_sample_range": clip or 1.0}
    return {**config, **clipping, "prediction_type": prediction_type}
