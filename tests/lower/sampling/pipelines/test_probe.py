import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from lower.sampling.pipelines.tiny_pipelines import FAMILIES, load, save

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.loading import set_scheduler
from raybilevel.lower.sampling.pipelines.probe import probe_pipeline
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings

PROMPTS = ["a dog in the sea", "cat"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipelines")
    return {name: save(folder / name[:2], name) for name in ("Stable Diffusion", "SD 3", "DiT")}


def sampler_of(directory, name, **settings):
    pipeline = load(directory, PipelineSettings(**settings))
    return PipelineSampler(pipeline, "cpu", 2, FAMILIES[name][1])


@pytest.fixture(scope="module")
def sampler(saved):
    return sampler_of(saved["Stable Diffusion"], "Stable Diffusion")


def test_it_says_what_an_image_is_and_costs(sampler):
    report = probe_pipeline(sampler, "model 'tiny'", PROMPTS)
    assert report.image_shape == (3, 16, 16)
    assert 0 <= report.low < report.high <= 1
    assert report.nfe_per_sample == 2 * 2
    assert report.seconds_per_sample > 0
    assert report.peak_bytes > 1e7
    assert report.beside_others < 1e-5
    assert report.remarks == ()


@pytest.mark.parametrize(
    ("name", "scheduler", "remedy"),
    [
        ("DiT", {"class": "DDPMScheduler"}, "scheduler: {class: DDIMScheduler}"),
        (
            "SD 3",
            {
                "class": "FlowMatchEulerDiscreteScheduler",
                "options": {"stochastic_sampling": True},
            },
            "scheduler: {class: FlowMatchEulerDiscreteScheduler, options: {stochastic_sampling: "
            "false}}",
        ),
    ],
)
def test_a_pipeline_that_draws_noise_from_no_seed_is_refused_with_what_would_do(
    saved, name, scheduler, remedy
):
    sampler = sampler_of(saved[name], name, scheduler=scheduler)
    with pytest.raises(InputError) as refused:
        probe_pipeline(sampler, "model 'tiny'", [1, 207] if name == "DiT" else PROMPTS)
    said = str(refused.value)
    assert said.startswith("model 'tiny' drew two images for one seed, ")
    assert f"as its {scheduler['class']} draws noise that" in said
    assert remedy in said


def test_the_remedy_works(saved):
    sampler = sampler_of(saved["DiT"], "DiT", scheduler={"class": "DDPMScheduler"})
    set_scheduler(sampler.pipeline, {"class": "DDIMScheduler"})
    assert probe_pipeline(sampler, "model 'tiny'", [1, 207]).beside_others < 1e-5


def test_what_a_pipeline_raises_is_a_sentence(saved):
    pipeline = load(saved["Stable Diffusion"])
    sampler = PipelineSampler(pipeline, "cpu", 2, {"height": 17, "width": 17})
    with pytest.raises(InputError, match=r"model 'tiny' failed on seed 0 and 'cat': .*divisible"):
        probe_pipeline(sampler, "model 'tiny'", PROMPTS)


def changed(change):
    """A user's own pipeline, which does something to the images that it draws."""

    class Changed(StableDiffusionPipeline):
        def __call__(self, prompt, generator, num_inference_steps, output_type):
            steps = num_inference_steps
            output = super().__call__(
                prompt, generator=generator, num_inference_steps=steps, output_type=output_type
            )
            output.images = change(output.images)
            return output

    return Changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: images * 3 - 1, r"'tiny' drew pixels from -\S+ to \S+, but rewards are"),
        (lambda images: images * np.nan, r"'tiny' drew pixels that are no finite numbers; give dt"),
        (
            lambda images: (images + images.mean(0)) / 2,
            r"'tiny': a prompt beside it moves an image by up to \S+, so that its images depend",
        ),
    ],
    ids=["range", "not finite", "neighbours"],
)
def test_images_that_a_reward_could_not_use_are_refused(saved, change, said):
    pipeline = load(saved["Stable Diffusion"])
    sampler = PipelineSampler(changed(change)(**pipeline.components), "cpu", 2)
    with pytest.raises(InputError, match=said):
        probe_pipeline(sampler, "model 'tiny'", PROMPTS)
