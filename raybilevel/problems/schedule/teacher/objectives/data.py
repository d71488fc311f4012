"""FID or KID of a schedule's samples, on common noises."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raybilevel.metrics.fid_kid import pseudo_values
from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.schedule.real_images.images import RealImages
from raybilevel.problems.schedule.real_images.objective import (
    Fid,
    Kid,
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
        """See whether the samples are like the real images, and see those."""
        yield self.plan.values(Features, replace(self._known(state), count=_TRIED), lists[:1])
        seen = yield from see(self.real)
        if self.metric == "kid":
            count = min(len(self.real.folds[0].images), MOST_REAL)
            real = yield slices(TrainingImages, count)
            seen = seen | {"real_train": real.rows[f"features/{EXTRACTORS[0]}"]}
        return state | seen

    def with_noises(self, state: Arrays, noises: int) -> Generator[Stage, Output, Arrays]:
        """With two a chunk at least."""
        return (yield from super().with_noises(state, max(noises, 2 * CHUNKS)))

    def slopes(self, state: Arrays) -> Generator[Stage, Output, SaidSlopes]:
        """Central differences of the metric itself, by pseudo-values."""
        pairs = self.space.pairs(state["x"])
        lists, known = self.space.around(pairs), self._known(state)
        found = yield self.plan.differences(FeatureDifferences, known, lists, pairs.delta, CHUNKS)
        each = np.zeros((CHUNKS, len(state["x"])))
        if moving := _moving(lists):
            values = self._pseudo_values(state, found.rows["features"])
            np.add.at(each.T, moving, (values[:, ::2] - values[:, 1::2]).T)
        each /= 2 * pairs.delta * len(lists)
        se = each.std(axis=0, ddof=1) / np.sqrt(CHUNKS)
        curvatures = found.rows["curvatures"].sum(axis=0)
        return NaturalSlopes.of(each.mean(axis=0), se, known.count, curvatures)

    def scores(
        self, state: Arrays, lists: Sequence[Through]
    ) -> Generator[Stage, Output, np.ndarray]:
        """Pseudo-values (chunks, lists)."""
        found = yield self.plan.values(Features, self._known(state), lists, CHUNKS)
        return self._pseudo_values(state, found.rows["features"])

    def _pseudo_values(self, state: Arrays, features: np.ndarray) -> np.ndarray:
        """Of each chunk and list (chunks, lists), of features (n, lists, F)."""
        objective = self._objective(state)
        return np.stack(
            [
                pseudo_values(objective.value, _parts(objective, of_list))
                for of_list in np.moveaxis(features, 1, 0)
            ],
            axis=1,
        )

    def _objective(self, state: Arrays) -> Objective:
        if self.metric == "kid":
            return Kid(state["real_train"])
        reference = Reference.of(state, EXTRACTORS[0])
        assert reference is not None, "real images are seen before samples"
        return Fid(reference.train)


def _moving(lists: Sequence[Sequence[Pair]]) -> list[int]:
    """The variable of each pair that is drawn."""
    return [i for pairs in lists for i, (up, down) in enumerate(pairs) if up != down]


def _parts(objective: Objective, features: np.ndarray) -> Sequence[Any]:
    """Chunks of the features (n, F) of one list, as the objective adds them."""
    chunks = np.array_split(features.astype(float), CHUNKS)
    return [part for chunk in chunks for part in objective.parts(objective.rows(chunk))]
