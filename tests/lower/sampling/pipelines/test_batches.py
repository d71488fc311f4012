"""Batches that fit into memory, and what is said of those that do not."""

import pytest
import torch

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.batches import BatchedSampler
from raybilevel.lower.sampling.pipelines.meter import DrawCost
from raybilevel.lower.sampling.pipelines.sampler import Drawn


class Small:
    """A sampler of a device with room for so many images: no test could fill a real one."""

    def __init__(self, room):
        self.room, self.asked, self.forgotten = room, [], 0

    def draw(self, seeds, conditions, options):
        self.asked.append(len(seeds))
        if len(seeds) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        images = torch.tensor([[float(s)] for s in seeds]).reshape(-1, 1, 1, 1)
        assert conditions is None or len(conditions) == len(seeds)
        return Drawn(images, DrawCost(4 * len(seeds)), blackened=1)

    def forget(self):
        self.forgotten += 1


def test_batches_are_drawn_one_after_the_other_and_joined():
    small = Small(4)
    drawn = BatchedSampler(small, "model 'x'", 4).draw(list(range(10)), [str(i) for i in range(10)])
    assert small.asked == [4, 4, 2]
    assert drawn.images.flatten().tolist() == list(range(10))
    assert (drawn.cost.nfe, drawn.blackened) == (40, 3)


def test_a_batch_that_does_not_fit_says_which_would():
    with pytest.raises(InputError) as refused:
        BatchedSampler(Small(5), "model 'x'").draw(list(range(16)))
    assert str(refused.value) == (
        "model 'x' ran out of memory with 16 images at once, and 4 fit; give batch_size: 4"
    )


def test_where_no_image_fits_it_says_what_takes_less():
    with pytest.raises(InputError) as refused:
        BatchedSampler(Small(0), "model 'x'").draw([1])
    assert str(refused.value) == (
        "model 'x' ran out of memory with 1 image at once; smaller images (call_options), 16 bits "
        "(dtype) or offloading (model_options) take less"
    )


def test_halves_are_drawn_where_a_user_has_allowed_it():
    small = Small(3)
    drawn = BatchedSampler(small, "model 'x'", may_halve=True).draw(list(range(10)))
    assert drawn.images.flatten().tolist() == list(range(10))
    assert small.forgotten == 3
    with pytest.raises(InputError, match="with 1 image at once"):
        BatchedSampler(Small(0), "model 'x'", may_halve=True).draw([1, 2])
