"""The schedule problems' lower level in one process: draws images at given levels, sums them up."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.problems.base import Output, Shard
from raybilevel.problems.schedule.components import Components
from raybilevel.problems.schedule.real_images.extraction import FeatureExtraction
from raybilevel.problems.schedule.real_images.objective import (
    Fid,
    Kid,
    Objective,
    ObjectiveName,
)
from raybilevel.problems.schedule.real_images.shards import SomeImages
from raybilevel.problems.schedule.shards import Compare, Noise, Sample

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 32  # images of a subject in the run directory


class ScheduleWorker:
    """Runs the shards that draw samples, and those that look at real images, on one device.

    Parameters
    ----------
    components : the network, the data and the extractors.
    objective : what is minimised.
    """

    def __init__(self, components: Components, objective: ObjectiveName, device: str) -> None:
        self._components = components
        self._sampler = components.sampler_on(device)
        self._seeing = FeatureExtraction(components.real, device)
        real = None if objective == "fid" else self._seeing.kid_reference()
        self._objective: Objective = Fid() if real is None else Kid(real)

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Run one shard; what is random about it is in its key, or in the seed that it names."""
        match shard:
            case SomeImages():
                return self._seeing.of_real(shard)
            case Sample():
                return self._sample(shard)
            case Compare():
                return self._compare(shard)
        raise AssertionError(f"{type(shard).__name__} is no shard of this problem")

    def _sample(self, shard: Sample) -> Output:
        images = self._sampler.sample(self._noise(shard.noise), shard.levels)
        rows = self._objective.rows(self._seeing.by_objective(images))
        return Output(rows=rows, nfe=shard.noise.count * len(shard.levels))

    def _compare(self, shard: Compare) -> Output:
        import torch

        drawn = [self._draw(shard, noise) for noise in self._noise(shard.noise).split(shard.batch)]
        batches, evaluations = [images for images, _ in drawn], drawn[0][1]
        features = [self._seeing.by_both(images) for images in batches]
        shown = torch.cat(batches)[: _SHOWN if shard.shown else 0]
        rows = {
            **{name: np.concatenate([f[name] for f in features]) for name in features[0]},
            "shown": (shown * 255).round().byte().cpu().numpy(),
            "steps": np.array([float(evaluations)]),
        }
        return Output(rows=rows, nfe=shard.noise.count * evaluations)

    def _draw(self, shard: Compare, noise: Tensor) -> tuple[Tensor, int]:
        """Images of the shard's subject, and network evaluations of each."""
        subject = shard.subject
        if subject.levels is not None:
            return self._sampler.sample(noise, subject.levels), len(subject.levels)
        from raybilevel.lower.sampling.stock_schedulers import sample_stock

        network = self._components.network.as_stock(self._sampler)
        return sample_stock(network, self._stock_schedulers[subject.name], noise, subject.steps)

    def _noise(self, noise: Noise) -> Tensor:
        return self._sampler.noise(noise.seed, noise.count)

    @cached_property
    def _stock_schedulers(self) -> dict[str, Any]:
        from raybilevel.lower.sampling.stock_schedulers import stock_schedulers

        return stock_schedulers(self._sampler.info.scheduler)
