import torch

from raybilevel.rewards.clip.last_images import LastImages


class Counted:
    """Means by image, and how often they were computed."""

    def __init__(self):
        self.last, self.times = LastImages(), 0

    def of(self, images, batch_size=2):
        def compute():
            self.times += 1
            return images.flatten(1).mean(1)

        return self.last.get(images, batch_size, compute)


def test_the_same_images_are_computed_once():
    counted, images = Counted(), torch.rand(3, 2)
    assert counted.of(images) is counted.of(images)
    assert counted.times == 1


def test_other_images_and_other_batches_are_computed_anew():
    counted, images = Counted(), torch.rand(3, 2)
    for again in (images, images.clone(), images[:3], images):
        assert torch.equal(counted.of(again), images.mean(1))
    assert counted.times == 4
    counted.of(images, batch_size=1)
    assert counted.times == 5


def test_images_that_were_written_into_are_computed_anew():
    counted, images = Counted(), torch.zeros(3, 2)
    assert counted.of(images).sum() == 0
    images[0] = 1
    assert counted.of(images).sum() == 1


def test_images_that_are_gone_are_not_taken_for_those_in_their_place():
    counted = Counted()
    for value in range(4):
        assert counted.of(torch.full((3, 2), float(value))).sum() == 3 * value


def test_with_a_gradient_nothing_is_kept():
    counted, images = Counted(), torch.rand(3, 2, requires_grad=True)
    with torch.no_grad():
        kept = counted.of(images)
    for _ in range(2):
        counted.of(images).sum().backward()
    assert images.grad.sum() == 6
    with torch.no_grad():
        assert counted.of(images) is kept
    with torch.inference_mode():
        counted.of(torch.rand(3, 2))
    assert counted.times == 4
