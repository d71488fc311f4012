"""Guided calls of stock pipelines: the law of their paths is known, whatever guides them."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, DiffusionPipeline

from raybilevel.errors import InputError
from raybilevel.lower.pretrained import pipeline_directory
from raybilevel.lower.sampling.guidance.call import Guide
from raybilevel.lower.sampling.guidance.sampler import GuidedSampler
from raybilevel.lower.sampling.noise import seeded
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler
from raybilevel.testing.gaussian_pipeline import gaussian_pipeline, pixel, variance

STEPS = 12


def digits(scheduler=None):
    pipeline = DiffusionPipeline.from_pretrained(str(pipeline_directory("digits")))
    if scheduler is not None:
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    return pipeline


def guided(pipeline, options=(("eta", 1.0),), steps=STEPS, batch_size=None, **memory):
    sampler = PipelineSampler(pipeline, "cpu", steps, dict(options))
    return GuidedSampler(sampler, "it", batch_size, **memory)


def ink(images, rows):
    return images.flatten(1).mean(1)[:, None]


def first(images, rows):
    return pixel(images)[:, None]


def log_ratio(terms, s, taus):
    """Of one reward."""
    u, v, taus = terms.u[:, :, 0].numpy(), terms.v[:, :, 0, 0].numpy(), np.array(taus)
    return s * u @ taus - s**2 * (v @ taus**2) / 2


def test_without_guidance_images_are_those_of_the_stock_call():
    stock = digits()
    stock.set_progress_bar_config(disable=True)
    drawn = stock(
        batch_size=6, generator=seeded(range(6)), eta=1.0, num_inference_steps=STEPS,
        output_type="np",
    ).images  # fmt: skip
    images, terms = guided(digits()).draw(
        range(6), None, Guide(ink, torch.zeros(6, 1), [1] * STEPS)
    )
    np.testing.assert_array_equal(images.images.permute(0, 2, 3, 1).numpy(), drawn)
    assert images.cost.nfe == 6 * STEPS * 3
    assert terms.u.shape == (6, STEPS, 1)
    assert terms.v.shape == (6, STEPS, 1, 1)
    assert not terms.v[:, -1].any()  # the last step draws no noise
    assert terms.finite.all()


@pytest.mark.parametrize("s", [0.5, 1.0, 2.0])
def test_weights_of_guided_gaussians_give_their_mean_variance_and_log_z(s):
    """Linear in the first pixel, which p0 draws as N(0, V): p_x is N(s V, V), log Z = s^2 V / 2."""
    n, taus, v = 2000, [1.3] * STEPS, variance(STEPS)
    sampler = guided(gaussian_pipeline())
    images, terms = sampler.draw(range(n), None, Guide(first, torch.full((n, 1), s), taus))
    x = pixel(images.images).double().numpy()
    to_p0 = np.exp(-log_ratio(terms, s, taus))
    assert abs(to_p0.mean() - 1) < 4 * to_p0.std() / np.sqrt(n)
    w = to_p0 * np.exp(s * x)
    assert abs(np.log(w.mean()) - s**2 * v / 2) < 4 * w.std() / w.mean() / np.sqrt(n)
    w /= w.sum()
    for values, truth in ((x, s * v), ((x - s * v) ** 2, v)):
        error = np.sqrt(np.sum((w * (values - w @ values)) ** 2))
        assert abs(w @ values - truth) < 4 * error
    assert 1 / np.sum(w**2) > 0.3 * n


def test_density_is_known_under_every_strength():
    """Paths of p0 say what guided ones say of themselves: their mean weights are one either way."""
    n, taus, s = 2000, [1.0] * STEPS, 1.0
    sampler = guided(gaussian_pipeline())
    _, terms = sampler.draw(range(n), None, Guide(first, torch.zeros(n, 1), taus))
    to_guided = np.exp(log_ratio(terms, s, taus))
    assert abs(to_guided.mean() - 1) < 4 * to_guided.std() / np.sqrt(n)


def test_batches_do_not_change_paths():
    def scores(images, rows):
        wanted = torch.tensor([row / 4 for row in rows])
        return torch.stack([images.flatten(1).mean(1), -((images[:, 0, 3, 3] - wanted) ** 2)], 1)

    guide = Guide(scores, torch.tensor([[2.0, 1.0]] * 5), [0.5] * STEPS)
    whole, parts = (
        guided(digits(), batch_size=size).draw(range(5), None, guide) for size in (None, 2)
    )
    torch.testing.assert_close(whole[0].images, parts[0].images, atol=1e-4, rtol=0)
    torch.testing.assert_close(whole[1].v, parts[1].v, atol=1e-5, rtol=1e-2)
    assert whole[1].v.shape == (5, STEPS, 2, 2)


def test_ddpm_is_guided_too_and_moves_where_the_reward_rises():
    from diffusers import DDPMPipeline

    own = digits(DDPMScheduler)
    pipeline = DDPMPipeline(unet=own.unet, scheduler=own.scheduler)
    ends = {}
    for s in (0.0, 400.0):
        guide = Guide(ink, torch.full((8, 1), s), [1.0] * STEPS)
        images, _ = guided(pipeline, options=()).draw(range(8), None, guide)
        ends[s] = float(images.images.mean())
    assert ends[400.0] > ends[0.0] + 0.1


def test_a_gradient_that_is_not_finite_pushes_nothing_and_is_told():
    def broken(images, rows):
        return torch.where(images > 2, images, images.sqrt() * 0 / 0).flatten(1).mean(1)[:, None]

    guide = Guide(broken, torch.ones(2, 1), [1.0] * STEPS)
    images, terms = guided(digits()).draw(range(2), None, guide)
    assert not terms.finite.any()
    assert images.images.isfinite().all()


def test_what_cannot_be_guided_is_refused():
    from diffusers import DPMSolverMultistepScheduler

    with pytest.raises(InputError, match="DPMSolverMultistepScheduler, and guidance is for"):
        guided(digits(DPMSolverMultistepScheduler))
    with pytest.raises(InputError, match="draws no noise at its steps"):
        guided(digits(), options=(("eta", 0.0),)).check(None)
    guided(digits()).check(None)


def two(images, rows):
    flat = images.flatten(1)
    return torch.stack([flat.mean(1), flat.amax(1)], 1)


def test_checkpointing_recomputes_blocks_for_each_gradient_and_changes_no_path():
    counts = {}

    def drawn(**memory):
        pipeline = digits()
        counts[bool(memory)] = calls = []
        pipeline.unet.down_blocks[0].resnets[0].register_forward_pre_hook(
            lambda *_: calls.append(1)
        )
        guide = Guide(two, torch.full((4, 2), 5.0, dtype=torch.float64), 1.0)
        return guided(pipeline, steps=6, **memory).draw(range(4), None, guide)

    (kept, terms), (less, again) = drawn(), drawn(gradient_checkpointing=True)
    torch.testing.assert_close(less.images, kept.images, atol=1e-6, rtol=0)
    torch.testing.assert_close(again.v, terms.v, rtol=1e-5, atol=1e-12)
    assert len(counts[False]) == 6
    assert len(counts[True]) == 6 * 3
    assert (kept.cost.nfe, less.cost.nfe) == (4 * 6 * 5, 4 * 6 * 7)


def test_a_network_without_checkpoints_is_refused():
    with pytest.raises(InputError, match="but the ExactNetwork of it knows none; leave it out"):
        guided(gaussian_pipeline(), gradient_checkpointing=True)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (8, "it ran out of memory with 8 guided images at once; give a smaller batch_size, such "),
        (1, "it ran out of memory with 1 guided image at once; gradient_checkpointing: true, smal"),
    ],
)
def test_what_does_not_fit_into_memory_says_what_would(count, said):
    def full(*_):
        raise torch.OutOfMemoryError

    pipeline = digits()
    sampler = guided(pipeline)
    pipeline.unet.register_forward_hook(full)
    with pytest.raises(InputError, match=said):
        sampler.draw(range(count), None, Guide(ink, torch.zeros(count, 1)))
