"""Guided paths resampled in islands: what they say of Z has its mean, whatever guides them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from raybilevel.errors import TooLargeError
from raybilevel.lower.sampling.guidance.call import Guide, GuidedCall
from raybilevel.lower.sampling.guidance.path_groups import PathGroups
from raybilevel.lower.sampling.guidance.sampler import GuidedSampler
from raybilevel.lower.sampling.noise import seeded
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler
from raybilevel.testing.gaussian_pipeline import gaussian_pipeline, pixel, variance

STEPS, EACH = 12, 16


def sampler(batch_size=None):
    drawing = PipelineSampler(gaussian_pipeline(), "cpu", STEPS, {"eta": 1.0})
    return GuidedSampler(drawing, "it", batch_size)


def first(images, rows):
    return pixel(images)[:, None]


def guide(islands, s, tau):
    scales = torch.full((islands * EACH, 1), s)
    groups = PathGroups(range(7000, 7000 + islands), EACH)
    return Guide(first, scales, [tau] * STEPS, islands=groups)


@pytest.mark.parametrize("tau", [0.0, 1.2])
def test_islands_give_mean_variance_and_log_z_of_gaussians(tau):
    """Linear in the first pixel, which p0 draws as N(0, V): p_x is N(s V, V), log Z = s^2 V / 2."""
    islands, s, v = 96, 2.0, variance(STEPS)
    asked = guide(islands, s, tau)
    images, terms = sampler().draw(range(islands * EACH), None, asked)
    x = pixel(images.images).double().numpy()
    chosen, log_z, ancestors = terms.weights.at_end(asked.islands, s * x)
    z = np.exp(log_z - s**2 * v / 2)
    assert abs(z.mean() - 1) < 4 * z.std() / np.sqrt(islands)
    rows = x[chosen].reshape(islands, EACH)
    for values, truth in ((rows, s * v), ((rows - s * v) ** 2, v)):
        of_islands = z * (values.mean(1) - truth)
        assert abs(of_islands.mean()) < 4 * of_islands.std() / np.sqrt(islands)
    distinct = [len(set(row)) for row in ancestors.reshape(islands, EACH)]
    assert 1 < np.mean(distinct) < EACH


def test_paths_stay_in_their_islands_whatever_the_batch():
    asked = guide(4, 3.0, 1.0)
    (whole, told), (parts, again) = (
        sampler(batch_size).draw(range(4 * EACH), None, asked) for batch_size in (None, 2 * EACH)
    )
    np.testing.assert_allclose(whole.images, parts.images, atol=1e-5)
    np.testing.assert_allclose(told.weights.log_z, again.weights.log_z, atol=1e-5)
    np.testing.assert_array_equal(told.weights.ancestors, again.weights.ancestors)
    assert whole.cost.nfe == parts.cost.nfe == 4 * EACH * STEPS * 3


def test_an_island_that_does_not_fit_into_memory_says_what_would():
    def full(*_):
        raise torch.OutOfMemoryError

    drawing = sampler()
    drawing.network.register_forward_hook(full)
    with pytest.raises(
        TooLargeError, match=r"^it ran out of memory with 16 guided images at once, "
    ):
        drawing.draw(range(EACH), None, guide(1, 0.0, 1.0))


def test_a_path_that_takes_anothers_place_moves_by_the_others_mean_and_variance():
    """Of steps whose variance networks predict, each sample's its own."""
    scheduler = DDPMScheduler(variance_type="learned_range")
    scheduler.set_timesteps(10)
    x, output = torch.randn(3, 1, 2, 2, generator=seeded([0])[0]), torch.zeros(3, 2, 2, 2)
    output[1, 1] = 2.0  # of the second the variance is another

    def second_alone(images, rows):
        return 100 * torch.tensor([[0.0], [1.0], [0.0]]) + 0 * images.sum()

    def step(places):
        generators = seeded([1, 2, 3])
        return scheduler.step(output[places], 500, x[places], generator=generators).prev_sample

    guided = GuidedCall(SimpleNamespace(scheduler=scheduler), torch.nn.Identity(), lambda z: z)
    asked = Guide(second_alone, torch.ones(3, 1), 1.0, islands=PathGroups([7], 3))
    with torch.no_grad(), guided.by(asked):  # as in a pipeline's call
        torch.set_grad_enabled(True)  # as a call of the network does
        got = step([0, 1, 2])
    torch.testing.assert_close(got, step([1, 1, 1]))
    assert guided.terms.weights.ancestors.tolist() == [1, 1, 1]


def test_islands_of_no_strength_draw_what_paths_alone_draw():
    alone, _ = sampler().draw(range(EACH), None, Guide(first, torch.zeros(EACH, 1), 1.0))
    together, terms = sampler().draw(range(EACH), None, guide(1, 0.0, 1.0))
    np.testing.assert_array_equal(alone.images, together.images)
    assert terms.weights.log_z == 0
