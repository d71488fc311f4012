"""What one process makes of samples that are held against real images: their features."""

from __future__ import annotations

import numpy as np

from raybilevel.problems.base import Output
from raybilevel.problems.schedule.real_images.extraction import FeatureExtraction
from raybilevel.problems.schedule.teacher.drawing import (
    PairedDraws,
    along_each,
    as_rows,
    inner_products,
)
from raybilevel.problems.schedule.teacher.shards import FeatureDifferences, Features


def features_of_lists(draws: PairedDraws, extraction: FeatureExtraction, shard: Features) -> Output:
    """Of every list on the shard's noises."""
    found, nfe = [], 0
    for through in shard.lists:
        images, evaluations = draws.images(shard.draws, through)
        extraction.check_like(images, draws.named)
        found.append(extraction.by_objective(images))
        nfe += evaluations
    return Output(rows={"features": np.stack(found, axis=1).astype(np.float32)}, nfe=nfe)


def feature_differences(
    draws: PairedDraws, extraction: FeatureExtraction, shard: FeatureDifferences
) -> Output:
    """Of every list up and down along each variable that moves it, and J'J of the images."""
    d, nfe = len(shard.pairs[0]), 0
    found, curvatures = [], np.zeros((d, d))
    for pairs in shard.pairs:
        columns = {}
        for i, up, down, evaluations in along_each(draws.images, shard, pairs):
            found += [extraction.by_objective(images) for images in (up, down)]
            columns[i] = (as_rows(up) - as_rows(down)).astype(np.float32) / (2 * shard.delta)
            nfe += evaluations
        curvatures += inner_products(columns, d)
    rows = {"curvatures": curvatures[None]}
    if found:  # as nothing moves where a curve's one level is held
        rows["features"] = np.stack(found, axis=1).astype(np.float32)
    return Output(rows=rows, nfe=nfe)
