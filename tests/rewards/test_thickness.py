import math

import numpy as np
import pytest
import torch

from raybilevel.rewards import evaluate, load_reward


def run(images):
    return evaluate(load_reward("thickness", "upper_reward"), images, "upper_reward")


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_stripe_is_as_thick_as_it_is_wide(width, channels):
    images = torch.zeros(2, channels, 32, 256)
    images[0, :, 10 : 10 + width, 8:248] = 1
    images[1] = images[0] * 0.5  # as thick, and fainter
    np.testing.assert_allclose(run(images), [width] * 2, rtol=0.02)


def test_a_ring_is_as_thick_as_its_radii_differ():
    """On antialiased pixels, at any angle of the edge."""
    at = torch.linspace(-1, 1, 257)[:-1] + 1 / 256
    distance = torch.hypot(*torch.meshgrid(at, at, indexing="ij"))
    ring = ((distance > 0.5) & (distance < 0.65)).float()[None, None]
    images = torch.nn.functional.avg_pool2d(ring, 4)
    radii = 0.15 * 32
    assert math.isclose(run(images)[0], radii, rel_tol=0.1)


def test_black_is_not_thick_and_the_edge_of_a_picture_is_an_edge():
    images = torch.zeros(2, 1, 32, 32)
    images[1] = 1
    np.testing.assert_allclose(run(images), [0, 16], rtol=0.01, atol=1e-9)


def test_it_has_a_gradient_in_every_pixel():
    images = torch.zeros(1, 1, 32, 32)
    images[..., 8:24, 12:15] = 1
    images.requires_grad_()
    load_reward("thickness", "upper_reward")(images).sum().backward()
    assert images.grad.isfinite().all()
    assert images.grad[..., 12, 15] > 0  # what widens the stroke
