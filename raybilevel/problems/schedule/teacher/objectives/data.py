"""FID or KID of a schedule's samples, on common noises."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from raybilevel.metrics.fid_kid import Moments, jackknife
from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.schedule.real_images.images import RealImages
from raybilevel.problems.schedule.real_images.objective import (
    Fid,
    Kid,
    Mean,
    Objective,
    ObjectiveName,
)
from raybilevel.problems.schedule.real_images.reference import EXTRACTORS, MOST_REAL, Reference
from raybilevel.problems.schedule.real_images.seeing import see
from raybilevel.problems.schedule.real_images.shards import TrainingImages, slices
from raybilevel.problems.schedule.teacher.objectives.base import SaidSlopes
from raybilevel.problems.schedule.teacher.objectives.images import ImagesObjective
from raybilevel.problems.schedule.teacher.objectives.natural_step import NaturalSlopes
from raybilevel.problems.schedule.teacher.settings import CHUNKS
from raybilevel.problems.schedule.teacher.shards import (
    FeatureDifferences,
    Features,
    Pair,
    Through,
)

_TRIED = 2  # samples whose size is looked at first


@dataclass(frozen=True, eq=False)
class DistanceToData(ImagesObjective):
    """FID without its bias, or KID; of several numbers of steps their mean.

    A noise says nothing of FID by itself: `scores` are pseudo-values of chunks of noises (Efron &
    Tibshirani 1993, section 11.5), whose mean is the jackknife's value and whose spread its error,
    also of differences on the same noises.

    Attributes
    ----------
    metric : what is minimised.
    real : what samples are held against.
    """

    metric: ObjectiveName
    real: RealImages

    @property
    def falls(self) -> str:
        """By its name."""
        return self.metric.upper()

    @property
    def first(self) -> int:
        """As the settings say."""
        return self.estimation.first_images

    @property
    def most(self) -> int:
        """As the settings say."""
        return self.estimation.images

    @property
    def to_begin(self) -> int:
        """As many as at first: spacings are far apart."""
        return self.first

    def prepare(self, state: Arrays, lists: Sequence[Through]) -> Generator[Stage, Output, Arrays]:
        """See the real images, and whether the samples are like them."""
        seen = yield from see(self.real)
        if self.metric == "kid":
            count = min(len(self.real.folds[0].images), MOST_REAL)
            real = yield slices(TrainingImages, count)
            seen = seen | {"real_train": real.rows[f"features/{EXTRACTORS[0]}"]}
        yield self.plan.values(Features, replace(self._known(state), count=_TRIED), lists[:1])
        return state | seen

    def slopes(self, state: Arrays) -> Generator[Stage, Output, SaidSlopes]:
        """Central differences of the metric itself."""
        pairs = self.space.pairs(state["x"])
        lists = self.space.around(pairs)
        known, size = self._known(state), self._size(state)
        found = yield self.plan.differences(FeatureDifferences, known, lists, pairs.delta, size)
        objective, gradient = self._objective(state), np.zeros(len(state["x"]))
        share = 1 / (2 * pairs.delta * len(lists))

        def central(*totals: Moments | Mean) -> np.ndarray:
            values = np.array([objective.value(total) for total in totals])
            slopes = np.zeros_like(gradient)
            np.add.at(slopes, _moving(lists), share * (values[::2] - values[1::2]))
            return slopes

        se = gradient
        if _moving(lists):
            sets = _parts(objective, found.rows["features"], size)
            gradient, se = jackknife(central, *sets, corrected=objective.biased)
        return NaturalSlopes.of(gradient, se, known.count, found.rows["curvatures"].sum(axis=0))

    def scores(
        self, state: Arrays, lists: Sequence[Through]
    ) -> Generator[Stage, Output, np.ndarray]:
        """Pseudo-values (chunks, lists)."""
        known, size = self._known(state), self._size(state)
        found = yield self.plan.values(Features, known, lists, size)
        objective = self._objective(state)
        sets = _parts(objective, found.rows["features"], size)
        return np.stack([_pseudo_values(objective, parts) for parts in sets], axis=1)

    def _size(self, state: Arrays) -> int:
        return -(-self.noises(state) // CHUNKS)

    def _objective(self, state: Arrays) -> Objective:
        if self.metric == "kid":
            return Kid(state["real_train"])
        reference = Reference.of(state, EXTRACTORS[0])
        assert reference is not None, "real images are seen before samples"
        return Fid(reference.train)


def _moving(lists: Sequence[Sequence[Pair]]) -> list[int]:
    """The variable of each pair that is drawn."""
    return [i for pairs in lists for i, (up, down) in enumerate(pairs) if up != down]


def _parts(objective: Objective, features: np.ndarray, size: int) -> list[list[Any]]:
    """Of each list the chunks of features (n, lists, F)."""
    chunks = [features[i : i + size].astype(float) for i in range(0, len(features), size)]
    return [
        [part for chunk in chunks for part in objective.parts(objective.rows(chunk[:, i]))]
        for i in range(features.shape[1])
    ]


def _pseudo_values(objective: Objective, parts: Sequence[Any]) -> np.ndarray:
    """(k,) of k chunks."""
    k, total = len(parts), reduce(add, parts)
    without = np.array([objective.value(total - part) for part in parts])
    return np.asarray(k * objective.value(total) - (k - 1) * without)
