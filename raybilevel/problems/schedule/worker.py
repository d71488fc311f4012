"""The schedule problems' lower level in one process: draws images at given levels, sums them up."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import RunError
from raybilevel.metrics.fid_kid import Moments
from raybilevel.problems.base import Arrays, Output, Shard
from raybilevel.problems.schedule.components import Components
from raybilevel.problems.schedule.real_images.objective import (
    Fid,
    Kid,
    Objective,
    ObjectiveName,
    moment_rows,
)
from raybilevel.problems.schedule.shards import (
    Compare,
    HeldOutImages,
    Noise,
    ReferenceImages,
    Sample,
)

if TYPE_CHECKING:
    from torch import Tensor

EXTRACTORS = ("objective", "second")
_SHOWN = 32  # images of a subject in the run directory
MOST_REAL = 2048  # that KID is taken to: its kernel is that number squared


class ScheduleWorker:
    """Runs the shards that draw samples, and those that look at real images, on one device.

    Parameters
    ----------
    components : the network, the data and the extractors.
    objective : what is minimised.
    """

    def __init__(self, components: Components, objective: ObjectiveName, device: str) -> None:
        self._components, self._device = components, device
        self._sampler = components.sampler_on(device)
        self._extractor = components.real.extractor(device)
        self._seen: dict[Shard, Arrays] = {}
        self._objective: Objective = Fid() if objective == "fid" else Kid(self._kid_reference())

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Run one shard; what is random about it is in its key, or in the seed that it names."""
        match shard:
            case ReferenceImages():
                return self._reference(shard)
            case HeldOutImages():
                return Output(rows=self._features_once(shard))
            case Sample():
                return self._sample(shard)
            case Compare():
                return self._compare(shard)
        raise AssertionError(f"{type(shard).__name__} is no shard of this problem")

    def _reference(self, shard: ReferenceImages) -> Output:
        found = self._features_once(shard)
        sums = {
            f"{column}/{name}": value
            for name in EXTRACTORS
            for column, value in moment_rows(Moments.of(found[f"features/{name}"])).items()
        }
        return Output(sums=sums)

    def _sample(self, shard: Sample) -> Output:
        images = self._sampler.sample(self._noise(shard.noise), shard.levels)
        rows = self._objective.rows(_extract(self._extractor, images))
        return Output(rows=rows, nfe=shard.noise.count * len(shard.levels))

    def _compare(self, shard: Compare) -> Output:
        import torch

        drawn = [self._draw(shard, noise) for noise in self._noise(shard.noise).split(shard.batch)]
        batches, evaluations = [images for images, _ in drawn], drawn[0][1]
        features = [self._features(images) for images in batches]
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

    def _features_once(self, shard: ReferenceImages | HeldOutImages) -> Arrays:
        """Features of real images; kept, as a process of a search asks for them in every trial."""
        if shard not in self._seen:
            fold = self._components.real.folds[isinstance(shard, HeldOutImages)]
            self._seen[shard] = self._features(fold.images[shard.first : shard.until])
        return self._seen[shard]

    def _kid_reference(self) -> np.ndarray:
        return _extract(self._extractor, self._components.real.folds[0].images[:MOST_REAL])

    def _features(self, images: Tensor) -> Arrays:
        """Features (n, F) float32 of both extractors; of the objective's where it is alone."""
        return {
            f"features/{name}": _extract(extractor, images).astype(np.float32)
            for name, extractor in self._extractors.items()
        }

    @cached_property
    def _extractors(self) -> dict[str, Any]:
        first = {EXTRACTORS[0]: self._extractor}
        if not self._components.real.has_second:
            return first
        return first | {EXTRACTORS[1]: self._components.real.second_extractor(self._device)}

    @cached_property
    def _stock_schedulers(self) -> dict[str, Any]:
        from raybilevel.lower.sampling.stock_schedulers import stock_schedulers

        return stock_schedulers(self._sampler.info.scheduler)


def _extract(extractor: Any, images: Tensor) -> np.ndarray:
    from raybilevel.metrics.extractors import features

    found = features(extractor, images)
    if not np.isfinite(found).all():
        raise RunError(
            "samples have features that are not finite: the network or the extractor overflows; "
            "try mixed_precision 'no'"
        )
    return found
