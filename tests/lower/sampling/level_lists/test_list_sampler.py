"""Lists through the calls of real pipelines with tiny random weights."""

import numpy as np
import pytest
import torch

pytest.importorskip(
    "transformers", reason="text models need the extra 'text', with which CI runs these tests apart"
)

from diffusers import DiffusionPipeline
from lower.sampling.pipelines.tiny_pipelines import FAMILIES, LABELS, PROMPTS, load, save

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_lists.list_sampler import ListSampler
from raybilevel.lower.sampling.level_lists.sigmas import sigma_range
from raybilevel.lower.sampling.level_lists.watching import visits
from raybilevel.lower.sampling.pipelines.batches import BatchedSampler
from raybilevel.lower.sampling.pipelines.loading import scheduler_like
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings

SEEDS = [5, 2]
LISTED = [
    ("Stable Diffusion", "EulerDiscreteScheduler"),
    ("Stable Diffusion", "DPMSolverMultistepScheduler"),
    ("Stable Diffusion", "HeunDiscreteScheduler"),
    ("SDXL", "DPMSolverSinglestepScheduler"),
    ("SD 3", None),
    ("Flux", None),
    ("PixArt", None),
    ("Sana", None),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = {}

    def directory(name):
        if name not in made:
            made[name] = save(tmp_path_factory.mktemp("family") / "pipeline", name)
        return made[name]

    return directory


def opened(directory, name, scheduler=None, *, latents=False):
    settings = PipelineSettings(scheduler=None if scheduler is None else {"class": scheduler})
    pipeline = load(directory, settings)
    sampler = PipelineSampler(pipeline, "cpu", None, FAMILIES[name][1])
    conditions = LABELS if name == "DiT" else PROMPTS
    batches = BatchedSampler(sampler, "model")
    return ListSampler(batches, "model", conditions, pipeline.scheduler, latents=latents)


def a_list(lists):
    low, high = sigma_range(lists.scheduler)
    sigmas = np.geomspace(high, 0.03 * high + 1.5 * low, 3)
    return lists.sigmas_at(lists.timesteps(sigmas)) if lists.taken.whole else sigmas


@pytest.mark.parametrize(("name", "scheduler"), LISTED)
def test_a_stock_call_that_is_given_the_list_visits_it_and_draws_our_images(
    folder, name, scheduler
):
    directory = folder(name)
    sampler = opened(directory, name, scheduler)
    sigmas = a_list(sampler.lists)
    given = sampler.argument(sigmas)
    ours = sampler.draw(SEEDS, PROMPTS[:2], sigmas, exact=False)

    stock = DiffusionPipeline.from_pretrained(directory)
    stock.set_progress_bar_config(disable=True)
    if scheduler is not None:
        stock.scheduler = scheduler_like(stock.scheduler, {"class": scheduler})
    for i, seed in enumerate(SEEDS):

        def call(seed=seed, prompt=PROMPTS[i]):
            generator = torch.Generator().manual_seed(seed)
            options = {**FAMILIES[name][1], **given, "generator": generator, "output_type": "np"}
            return stock(prompt=prompt, **options)

        np.testing.assert_allclose(visits(stock.scheduler, call).sigmas, sigmas, rtol=3e-6)
        image = call().images[0].transpose(2, 0, 1)
        np.testing.assert_allclose(image, ours.images[i].numpy(), atol=1e-4)


@pytest.mark.parametrize("scheduler", ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler"])
def test_levels_that_are_visited_exactly_are_those_of_the_call_where_they_are_whole(
    folder, scheduler
):
    sampler = opened(folder("Stable Diffusion"), "Stable Diffusion", scheduler, latents=True)
    sigmas = a_list(sampler.lists)
    rounded, exact = (
        sampler.draw(SEEDS, PROMPTS[:2], sigmas, exact=exact) for exact in (False, True)
    )
    assert rounded.images.shape == (2, 4, 8, 8)
    torch.testing.assert_close(exact.images, rounded.images, atol=1e-5, rtol=0)
    assert exact.cost.nfe == rounded.cost.nfe == 12


def test_between_whole_timesteps_levels_that_are_exact_draw_something_between(folder):
    """A move of a tenth of a timestep moves the image by a third of what three tenths do."""
    sampler = opened(
        folder("Stable Diffusion"), "Stable Diffusion", "DPMSolverMultistepScheduler", latents=True
    )
    known = sampler.lists.sigmas_at(np.arange(1000))

    def at(middle):
        sigmas = np.array([known[900], np.exp(np.interp(middle, range(1000), np.log(known)))])
        return sampler.draw(SEEDS[:1], PROMPTS[:1], sigmas, exact=True).images.double()

    near, far = at(400.1) - at(400), at(400.3) - at(400)
    assert float((3 * near - far).norm() / far.norm()) < 0.15


def test_what_a_call_visits_is_known_without_an_evaluation(folder):
    sampler = opened(folder("Flux"), "Flux")
    seen = sampler.visits({"num_inference_steps": 3})
    assert seen.given.keys() == {"mu"}
    assert seen.sigmas[0] == 1
    assert sampler._batches._sampler._meter.take().nfe == 0


def test_another_scheduler_is_one_for_a_call(folder):
    sampler = opened(folder("Stable Diffusion"), "Stable Diffusion", "EulerDiscreteScheduler")
    own = sampler.visits({"num_inference_steps": 3}).sigmas
    choices = [None, {"class": "EulerDiscreteScheduler", "options": {"use_karras_sigmas": True}}]
    first, second = sampler.spacings(choices, 3)
    assert np.array_equal(first, own)
    assert not np.allclose(second, own)
    assert np.array_equal(sampler.visits({"num_inference_steps": 3}).sigmas, own)
    drawn = [
        sampler.draw_stock(SEEDS[:1], PROMPTS[:1], choice, 3).images for choice in (*choices, None)
    ]
    assert drawn[0].equal(drawn[2])
    assert not drawn[0].equal(drawn[1])


def test_a_pipeline_that_tells_its_network_other_timesteps_is_refused(folder):
    sampler = opened(folder("CogView4"), "CogView4")
    with pytest.raises(InputError, match="is a CogView4Pipeline, which tells its network other ti"):
        sampler.argument(np.array([0.9, 0.5]))


def test_steps_of_another_scheduler_cost_no_more(folder):
    sampler = opened(folder("Stable Diffusion"), "Stable Diffusion", "EulerDiscreteScheduler")
    names = ("HeunDiscreteScheduler", "DPMSolverMultistepScheduler", "PNDMScheduler")
    assert [sampler.steps_for({"class": name}, 6) for name in names] == [3, 6, 0]
    assert (
        sampler.steps_for({"class": "PNDMScheduler", "options": {"skip_prk_steps": True}}, 6) == 5
    )


def test_a_scheduler_that_the_pipelines_call_cannot_have_has_no_steps(folder):
    flux = opened(folder("Flux"), "Flux")
    assert flux.steps_for({"class": "FlowMatchHeunDiscreteScheduler"}, 6) == 0
