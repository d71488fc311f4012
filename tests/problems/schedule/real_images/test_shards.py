"""How real images are cut into shards."""

import pytest

from raybilevel.problems.schedule.real_images.shards import (
    HeldOutImages,
    ReferenceImages,
    TrainingImages,
    slices,
)


@pytest.mark.parametrize("kind", [ReferenceImages, TrainingImages, HeldOutImages])
def test_real_images_are_cut_into_slices_that_join(kind):
    stage = slices(kind, 2100)
    assert [(shard.first, shard.until) for shard in stage.shards] == [
        (0, 1024), (1024, 2048), (2048, 2100)
    ]  # fmt: skip
    assert {type(shard) for shard in stage.shards} == {kind}
