"""A driver's look at real images, before samples are held against them."""

from __future__ import annotations

from collections.abc import Generator

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.schedule.real_images.images import RealImages
from raybilevel.problems.schedule.real_images.reference import (
    EXTRACTORS,
    MOST_REAL,
    of_images,
    of_statistics,
)
from raybilevel.problems.schedule.real_images.shards import HeldOutImages, ReferenceImages, slices


def see(real: RealImages) -> Generator[Stage, Output, Arrays]:
    """Real images of both folds, or statistics; returns what a state keeps of them."""
    if real.statistics is not None:
        return of_statistics(real.statistics)
    train, held_out = (len(fold.images) for fold in real.folds)
    reference = yield slices(ReferenceImages, train)
    features = yield slices(HeldOutImages, min(held_out, MOST_REAL))
    return of_images(reference.sums, features.rows, EXTRACTORS)
