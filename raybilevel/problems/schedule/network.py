"""The schedule problems' network: pretrained and in a directory, or yet to be trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from raybilevel.lower.pretrained import pipeline_directory
from raybilevel.lower.sampling.level_info import Conditioning, LevelInfo, read_levels
from raybilevel.lower.training.unet import TRAIN_STEPS, new_info, new_unet
from raybilevel.schedules import Schedule, cosine

if TYPE_CHECKING:
    from raybilevel.lower.sampling.level_sampler import LevelSampler

CLIP = 1.0  # of the clean image that a trained network predicts, where DDIM samples


class Network(Protocol):
    """What samples are drawn with. Its text says which it is, in a sentence."""

    @property
    def info(self) -> LevelInfo:
        """Its noise levels."""
        ...

    def unet(self) -> Any:
        """The network as a process begins with it."""
        ...

    def trained(self, state: Mapping[str, np.ndarray]) -> Any:
        """The network that a state's samples are drawn with."""
        ...

    def as_stock(self, sampler: LevelSampler) -> Callable[..., Any]:
        """What stock schedulers call at integer timesteps, in a process that has `sampler`."""
        ...


@dataclass(frozen=True)
class Pretrained:
    """A pipeline directory, or a name in `PRETRAINED`, and which variant of its weights."""

    model: str
    variant: str | None = None

    def __str__(self) -> str:
        return f"model '{self.model}'"

    @property
    def directory(self) -> Path:
        """The model's pipeline directory."""
        return pipeline_directory(self.model)

    @property
    def info(self) -> LevelInfo:
        """The model's noise levels."""
        return read_levels(self.directory, variant=self.variant)

    def unet(self) -> Any:
        """The network as it was trained."""
        from raybilevel.lower.sampling.pipeline_loading import load_pipeline

        return load_pipeline(self.directory, self.variant).unet

    def trained(self, state: Mapping[str, np.ndarray]) -> Any:
        """The same at any state: nothing is trained."""
        return self.unet()

    def as_stock(self, sampler: LevelSampler) -> Callable[..., Any]:
        """The network itself, which was trained at the stock scheduler's timesteps."""
        return sampler.unet


@dataclass(frozen=True)
class Untrained:
    """A network that the run trains.

    Attributes
    ----------
    config : arguments of `UNet2DModel`.
    conditioning, prediction_type : as `LevelInfo` has them.
    scheduler : config of the stock scheduler that others would sample it with.
    """

    config: Mapping[str, Any]
    conditioning: Conditioning
    prediction_type: str
    scheduler: Mapping[str, Any]

    def __str__(self) -> str:
        return "the network"

    @cached_property
    def info(self) -> LevelInfo:
        """What it will have been trained on."""
        return new_info(self.config, self.conditioning, self.prediction_type, CLIP, self.scheduler)

    def unet(self) -> Any:
        """The network, whose weights are yet to be loaded."""
        return new_unet(self.config, 0)

    def trained(self, state: Mapping[str, np.ndarray]) -> Any:
        """The network with the moving average of its weights."""
        from raybilevel.lower.training.parameter_vector import ParameterVector

        unet = self.unet()
        ParameterVector(unet).load(state["average"])
        return unet

    def as_stock(self, sampler: LevelSampler) -> Callable[..., Any]:
        """The network asked at the noise level that the stock scheduler has at a timestep."""
        return sampler.as_stock

    def weights(self, seed: int) -> np.ndarray:
        """First weights (P,) float32."""
        from raybilevel.lower.training.parameter_vector import ParameterVector

        return ParameterVector(new_unet(self.config, seed)).numpy()


def usual_scheduler(
    schedule: Schedule, prediction_type: str, *, is_learned: bool
) -> dict[str, Any]:
    """The stock scheduler that a network is sampled with where nothing is learned.

    On the schedule where it begins; but knots that are learned begin at the cosine schedule, which
    then is what they are compared with.
    """
    if is_learned and hasattr(schedule, "gap"):
        schedule = cosine()
    config = schedule.scheduler_config(schedule.init, TRAIN_STEPS)
    clipping = {"clip_sample": True, "clip_sample_range": CLIP}
    return {**config, **clipping, "prediction_type": prediction_type}
