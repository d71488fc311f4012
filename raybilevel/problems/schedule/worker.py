"""The schedule problem's lower level in one process: draws images at given levels and sums them up.

Kinds of shards, and the rows that each returns:

    reference   fold, first, until                moments of real images, for both extractors (sums)
    held_out    the same                          features of real images, for both
    sample      levels, seed, count               what the objective sums over a chunk of samples
    compare     subject, steps, seed, count,      features of samples, for both, and the first
                levels, batch, show               few of the images where they are to be shown
    train       see `ScheduleTrainer`

Where the run trains the network, samples are drawn with the weights that are broadcast.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import RunError
from raybilevel.metrics.fid_kid import Moments
from raybilevel.problems.base import Arrays, Output, PlacedShard
from raybilevel.problems.schedule.components import Source
from raybilevel.problems.schedule.network import Pretrained
from raybilevel.problems.schedule.objective import Fid, Kid, Metric, Objective, moment_rows
from raybilevel.problems.schedule.training_spec import SAMPLED, Lesson
from raybilevel.schedules import Schedule

if TYPE_CHECKING:
    from torch import Tensor

EXTRACTORS = ("objective", "second")
_SHOWN = 32  # images of a subject in the run directory
MOST_REAL = 2048  # that KID is taken to: its kernel is that number squared


class ScheduleWorker:
    """Runs the shards of `ScheduleTuning` on one device.

    Parameters
    ----------
    source : the network, the data and the extractors.
    metric : what is minimised.
    lesson, schedule : how the network is trained, and on what noise; None for a pretrained one.
    """

    def __init__(
        self,
        source: Source,
        metric: Metric,
        device: str,
        lesson: Lesson | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self._source, self._device = source, device
        self._sampler = source.sampler_on(device)
        self._extractor = source.extractor(device)
        self._seen: dict[tuple[int, int], Arrays] = {}
        self._objective: Objective = Fid() if metric == "fid" else Kid(self._real_features())
        if lesson is not None and schedule is not None:
            from raybilevel.lower.training.parameter_vector import FlatWeights
            from raybilevel.problems.schedule.trainer import ScheduleTrainer

            self._flat, images = FlatWeights(self._sampler.unet), source.folds[0].images
            self._trainer = ScheduleTrainer(
                lesson,
                sampler=self._sampler,
                flat=self._flat,
                schedule=schedule,
                images=images,
                extractor=self._extractor,
            )

    def run(self, shard: PlacedShard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Run one shard; what is random about it is in its key, or in the seed that it names."""
        if shard.kind == "train":
            return self._trainer.run(shard, broadcast, key)
        if SAMPLED in broadcast:
            self._flat.load(broadcast[SAMPLED])
        run = {
            "reference": self._reference,
            "held_out": self._held_out,
            "sample": self._sample,
            "compare": self._compare,
        }[shard.kind]
        return run(shard.args)

    def _reference(self, args: Mapping[str, Any]) -> Output:
        found = self._real_features_of(args)
        sums = {
            f"{column}/{name}": value
            for name in EXTRACTORS
            for column, value in moment_rows(Moments.of(found[f"features/{name}"])).items()
        }
        return Output(sums=sums)

    def _held_out(self, args: Mapping[str, Any]) -> Output:
        return Output(rows=self._real_features_of(args))

    def _sample(self, args: Mapping[str, Any]) -> Output:
        images = self._sampler.sample(self._noise(args), args["levels"])
        rows = self._objective.rows(_extract(self._extractor, images))
        return Output(rows=rows, nfe=len(images) * len(args["levels"]))

    def _compare(self, args: Mapping[str, Any]) -> Output:
        import torch

        drawn = [self._draw(args, noise) for noise in self._noise(args).split(args["batch"])]
        batches, evaluations = [images for images, _ in drawn], drawn[0][1]
        features = [self._features(images) for images in batches]
        shown = torch.cat(batches)[: _SHOWN if args["show"] else 0]
        rows = {
            **{name: np.concatenate([f[name] for f in features]) for name in features[0]},
            "shown": (shown * 255).round().byte().cpu().numpy(),
            "steps": np.array([float(evaluations)]),
        }
        return Output(rows=rows, nfe=args["count"] * evaluations)

    def _draw(self, args: Mapping[str, Any], noise: Tensor) -> tuple[Tensor, int]:
        if args["levels"]:
            return self._sampler.sample(noise, args["levels"]), len(args["levels"])
        from raybilevel.lower.sampling.stock_schedulers import sample_stock

        rival = self._rivals[args["subject"]]
        return sample_stock(self._stock, rival, noise, args["steps"])

    @property
    def _stock(self) -> Any:
        """The network as stock schedulers call it."""
        pretrained = isinstance(self._source.network, Pretrained)
        return self._sampler.unet if pretrained else self._sampler.as_stock

    def _noise(self, args: Mapping[str, Any]) -> Tensor:
        return self._sampler.noise(args["seed"], args["count"])

    def _real(self, args: Mapping[str, Any]) -> Tensor:
        return self._source.folds[args["fold"]].images[args["first"] : args["until"]]

    def _real_features_of(self, args: Mapping[str, Any]) -> Arrays:
        """Of both extractors; kept, as a process of a search asks for them in every trial."""
        key = args["fold"], args["first"]
        if key not in self._seen:
            self._seen[key] = self._features(self._real(args))
        return self._seen[key]

    def _real_features(self) -> np.ndarray:
        return _extract(self._extractor, self._source.folds[0].images[:MOST_REAL])

    def _features(self, images: Tensor) -> Arrays:
        """Features (n, F) float32 of both extractors."""
        extractors = zip(EXTRACTORS, (self._extractor, self._second), strict=True)
        return {
            f"features/{name}": _extract(extractor, images).astype(np.float32)
            for name, extractor in extractors
        }

    @cached_property
    def _second(self) -> Any:
        return self._source.second_extractor(self._device)

    @cached_property
    def _rivals(self) -> dict[str, Any]:
        from raybilevel.lower.sampling.stock_schedulers import rivals

        return rivals(self._sampler.info.scheduler)


def _extract(extractor: Any, images: Tensor) -> np.ndarray:
    from raybilevel.metrics.extractors import features

    found = features(extractor, images)
    if not np.isfinite(found).all():
        raise RunError(
            "samples have features that are not finite: the network or the extractor overflows; "
            "try mixed_precision 'no'"
        )
    return found
