"""Particles that are resampled on their way, on a stock pipeline whose samples' law is known."""

import numpy as np
import pytest
import torch

from raybilevel.lower.sampling.guidance.sampler import GuidedSampler
from raybilevel.lower.sampling.guidance.steering import Steering
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler
from raybilevel.testing.gaussian_pipeline import gaussian_pipeline, pixel, variance

STEPS = 10
V = variance(STEPS)


def scores(images, rows):
    return pixel(images)[:, None]


@pytest.fixture(scope="module")
def sampler():
    inner = PipelineSampler(gaussian_pipeline(), "cpu", STEPS, {"eta": 1.0})
    return GuidedSampler(inner, "the pipeline", batch_size=512)


def steered(sampler, count, each, scale):
    seeds = list(range(count))
    steering = Steering(scores, torch.full((count, 1), scale, dtype=torch.float64), seeds[::each])
    drawn, paid = sampler.draw_steered(seeds, None, steering)
    return drawn, pixel(drawn.images).double().numpy(), paid


def test_many_particles_are_samples_of_p_x(sampler):
    """Under p_x the pixel is N(V s, V)."""
    drawn, u, paid = steered(sampler, 4096, 512, 2.0)
    left = (2.0 * u - paid).reshape(8, 512)
    weights = np.exp(left - left.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    means = (weights * u.reshape(8, 512)).sum(1)
    error = np.std(means, ddof=1) / np.sqrt(8)
    assert error < 0.1
    assert abs(means.mean() - 2.0 * V) < 3.5 * error
    assert drawn.cost.nfe == 4096 * STEPS


def test_few_particles_fall_short_of_it(sampler):
    _, u, paid = steered(sampler, 2048, 2, 2.0)
    best = np.exp(2.0 * u - paid).reshape(-1, 2).argmax(1)
    mean = u.reshape(-1, 2)[np.arange(1024), best].mean()
    assert 0.1 < mean < 2.0 * V - 0.1


def test_without_tilt_nothing_is_resampled_and_images_are_the_stock_calls(sampler):
    drawn, _, paid = steered(sampler, 16, 8, 0.0)
    assert not paid.any()
    plain = PipelineSampler(gaussian_pipeline(), "cpu", STEPS, {"eta": 1.0}).draw(range(16))
    torch.testing.assert_close(drawn.images, plain.images, atol=1e-6, rtol=0)


def test_groups_never_mix_and_batches_change_nothing(sampler):
    _, together, paid = steered(sampler, 1024, 64, 2.0)
    seeds = list(range(512, 576))
    steering = Steering(scores, torch.full((64, 1), 2.0, dtype=torch.float64), [512])
    drawn, alone = sampler.draw_steered(seeds, None, steering)
    np.testing.assert_allclose(pixel(drawn.images), together[512:576], atol=1e-5)
    np.testing.assert_allclose(alone, paid[512:576], atol=1e-5)
    assert paid.any()
