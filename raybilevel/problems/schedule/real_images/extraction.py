"""The extractors of one process, and what they make of real images and of samples."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError, RunError
from raybilevel.metrics.fid_kid import Moments
from raybilevel.problems.base import Arrays, Output
from raybilevel.problems.schedule.real_images.images import RealImages, said
from raybilevel.problems.schedule.real_images.objective import moment_rows
from raybilevel.problems.schedule.real_images.reference import EXTRACTORS, MOST_REAL
from raybilevel.problems.schedule.real_images.shards import (
    HeldOutImages,
    ReferenceImages,
    SomeImages,
)

if TYPE_CHECKING:
    from torch import Tensor


class FeatureExtraction:
    """Features by the objective's extractor, and by a second one where there is one.

    Attributes
    ----------
    objective : the objective's extractor.
    """

    def __init__(self, real: RealImages, device: str) -> None:
        self._real, self._device = real, device
        self.objective = real.extractor(device)
        self._seen: dict[SomeImages, Arrays] = {}

    def of_real(self, shard: SomeImages) -> Output:
        """Run a shard of real images."""
        found = self._features_once(shard)
        if not isinstance(shard, ReferenceImages):
            return Output(rows=found)
        sums = {
            f"{column}/{name}": value
            for name in EXTRACTORS
            for column, value in moment_rows(Moments.of(found[f"features/{name}"])).items()
        }
        return Output(sums=sums)

    def check_like(self, images: Tensor, drawer: str) -> None:
        """Refuse samples (n, C, H, W) of another size than the real images.

        Parameters
        ----------
        drawer : what sentences say that draws them.

        Raises
        ------
        InputError
            Naming both sizes.
        """
        real, (_, *size) = self._real, images.shape
        drawn = size[0], size[1], size[2]
        if real.statistics is None and drawn != real.drawn:
            raise InputError(
                f"data '{real.data}' has images of {said(real.drawn)}, but {drawer} draws "
                f"{said(drawn)}; give data of as many channels and that size, or "
                "data_options.resolution where they are larger"
            )

    def kid_reference(self) -> np.ndarray:
        """Features (m, F) of training images that KID is taken to."""
        return self.by_objective(self._real.folds[0].images[:MOST_REAL])

    def by_objective(self, images: Tensor) -> np.ndarray:
        """Features (n, F) float64 of the objective's extractor, all finite."""
        return _extract(self.objective, images)

    def by_both(self, images: Tensor) -> Arrays:
        """Features (n, F) float32 of both extractors; of the objective's where it is alone."""
        return {
            f"features/{name}": _extract(extractor, images).astype(np.float32)
            for name, extractor in self._extractors.items()
        }

    def _features_once(self, shard: SomeImages) -> Arrays:
        """Features of real images; kept, as a process of a search asks for them in every trial."""
        if shard not in self._seen:
            fold = self._real.folds[isinstance(shard, HeldOutImages)]
            self._seen[shard] = self.by_both(fold.images[shard.first : shard.until])
        return self._seen[shard]

    @cached_property
    def _extractors(self) -> dict[str, Any]:
        first = {EXTRACTORS[0]: self.objective}
        if not self._real.has_second:
            return first
        return first | {EXTRACTORS[1]: self._real.second_extractor(self._device)}


def _extract(extractor: Any, images: Tensor) -> np.ndarray:
    from raybilevel.metrics.extractors import features

    found = features(extractor, images)
    if not np.isfinite(found).all():
        raise RunError(
            "samples have features that are not finite: the network or the extractor overflows; "
            "try full precision, mixed_precision 'no' or dtype 'float32'"
        )
    return found
