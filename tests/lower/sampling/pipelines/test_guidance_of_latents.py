"""Guided calls of text pipelines: through the decoder, and with classifier-free guidance."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from lower.sampling.pipelines.tiny_pipelines import FAMILIES, load, save

from raybilevel.errors import InputError
from raybilevel.lower.pretrained import pretrained
from raybilevel.lower.sampling.guidance.call import Guide
from raybilevel.lower.sampling.guidance.sampler import GuidedSampler
from raybilevel.lower.sampling.noise import seeded
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler
from raybilevel.rewards.asked_digit import proxy_asked_digit

STEPS = 6
OPTIONS = {"eta": 1.0, "guidance_scale": 3.0}
PROMPTS = ["a three", "a seven", "a thin one", "a thick eight"]


def mnist_sd():
    pipeline = StableDiffusionPipeline.from_pretrained(str(pretrained("mnist-sd")))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def guided(pipeline, **options):
    return GuidedSampler(PipelineSampler(pipeline, "cpu", STEPS, options), "it")


def scores(prompts):
    reward = proxy_asked_digit("cpu")
    return lambda images, rows: reward(images, [prompts[row] for row in rows])[:, None]


def test_without_guidance_images_are_those_of_the_stock_call():
    drawn = mnist_sd()(
        PROMPTS, generator=seeded(range(4)), num_inference_steps=STEPS, output_type="np", **OPTIONS
    ).images
    guide = Guide(scores(PROMPTS), torch.zeros(4, 1), [1.0] * STEPS)
    images, terms = guided(mnist_sd(), **OPTIONS).draw(range(4), PROMPTS, guide)
    np.testing.assert_allclose(images.images.permute(0, 2, 3, 1).numpy(), drawn, atol=1e-5)
    assert images.cost.nfe == 4 * STEPS * 2 * 3  # classifier-free guidance asks twice
    assert terms.v[:, :-1].all()


def test_weights_of_guided_paths_are_one_on_average_and_the_reward_rises():
    prompts, n = ["a three"] * 32, 32
    sampler, taus = guided(mnist_sd(), **OPTIONS), [0.5] * STEPS
    rewards = {}
    for s in (0.0, 0.3):
        guide = Guide(scores(prompts), torch.full((n, 1), s), taus)
        images, terms = sampler.draw(range(100, 100 + n), prompts, guide)
        rewards[s] = scores(prompts)(images.images, range(n)).mean().item()
    log_ratio = (
        0.3 * 0.5 * terms.u[..., 0].sum(1) - (0.3 * 0.5) ** 2 * terms.v[..., 0, 0].sum(1) / 2
    )
    w = torch.exp(-log_ratio).numpy()
    assert abs(w.mean() - 1) < 4 * w.std() / np.sqrt(n)
    assert w.std() > 0.01
    assert rewards[0.3] > rewards[0.0]


def test_stable_diffusion_xl_decodes_as_its_pipeline_does(tmp_path):
    xl = load(save(tmp_path / "xl", "SDXL"))
    xl.scheduler = DDIMScheduler.from_config(xl.scheduler.config)
    guided(xl, **FAMILIES["SDXL"][1], eta=1.0).check(["red cat"])
    with pytest.raises(InputError, match="is a FluxPipeline, and DDIMPipeline, DDPMPipeline"):
        guided(load(save(tmp_path / "flux", "Flux")), **FAMILIES["Flux"][1])
