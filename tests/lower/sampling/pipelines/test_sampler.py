import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import (
    DDPMPipeline,
    DDPMScheduler,
    DiffusionPipeline,
    StableDiffusionPipeline,
    UNet2DModel,
)
from lower.sampling.pipelines.tiny_pipelines import FAMILIES, LABELS, PROMPTS, load, save
from PIL import Image

from raybilevel.errors import RunError
from raybilevel.lower.sampling.pipelines.sampler import PipelineSampler, as_tensor
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings

STEPS = 2
SEEDS = [3, 2**63, 3, 11]
NETWORKS = ("unet", "transformer", "prior_prior")


class Family:
    """A pipeline's directory, and how it is loaded and called."""

    def __init__(self, name, directory):
        self.directory = save(directory, name)
        self.options = FAMILIES[name][1]
        self.conditions = LABELS if name == "DiT" else PROMPTS
        absent = {"text_encoder_3": None, "tokenizer_3": None} if "without T5" in name else {}
        self.settings = PipelineSettings(model_options=absent)

    def alone(self, seed, condition):
        """What the stock call draws alone, by diffusers' own loading."""
        self.stock.set_progress_bar_config(disable=True)
        given = {"prompt": condition}
        if self.conditions is LABELS:
            given = {"class_labels": [0 if condition == "tench" else condition]}
        generator = torch.Generator().manual_seed(seed)
        return self.stock(
            **given, **self.options, generator=generator, num_inference_steps=STEPS,
            output_type="np",
        ).images  # fmt: skip

    def load(self):
        self.stock = DiffusionPipeline.from_pretrained(
            self.directory, **self.settings.model_options
        )
        return load(self.directory, self.settings)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    return Family(request.param, tmp_path_factory.mktemp("pipelines") / "pipeline")


@pytest.fixture(scope="module")
def drawn(family):
    """A batch of mixed conditions, and rows that went through the network by hooks of our own."""
    pipeline, rows = family.load(), []
    for network in filter(None, (getattr(pipeline, part, None) for part in NETWORKS)):
        network.register_forward_hook(lambda _module, _given, output: rows.append(len(output[0])))
    sampler = PipelineSampler(pipeline, "cpu", STEPS, family.options)
    return sampler.draw(SEEDS, family.conditions), sum(rows)


def test_each_row_is_what_the_stock_call_draws_alone(family, drawn):
    pairs = zip(SEEDS, family.conditions, strict=True)
    alone = np.concatenate([family.alone(seed, condition) for seed, condition in pairs])
    images = drawn[0].images.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(images, alone, rtol=0, atol=1e-5)


def test_seeds_and_conditions_change_the_image(drawn):
    images = drawn[0].images
    assert (images[0] - images[3]).abs().max() > 0.05  # of one condition
    assert (images[0] - images[2]).abs().max() > 0.05  # of one seed


def test_images_are_ordinary_tensors_in_the_unit_range(drawn):
    images = drawn[0].images
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert not images.is_inference()


def test_nfe_is_the_rows_that_went_through_the_network(drawn):
    assert drawn[0].cost.nfe == drawn[1]
    assert drawn[0].cost.nfe >= 2 * STEPS * len(SEEDS)  # guidance is charged


def test_seconds_are_told_apart_by_part(drawn):
    assert drawn[0].cost.seconds["denoiser"] > 0
    assert drawn[0].cost.seconds["decoder"] > 0


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory):
    return save(tmp_path_factory.mktemp("pipelines") / "sd", "Stable Diffusion")


def test_a_prompt_is_encoded_once(stable_diffusion):
    pipeline, encoded = load(stable_diffusion), []
    sampler = PipelineSampler(pipeline, "cpu", 1)
    sampler.draw([0, 1, 2], ["dog", "cat", "dog"])
    pipeline.text_encoder.register_forward_hook(lambda *_: encoded.append(1))
    again = sampler.draw([3, 4], ["cat", "dog"])
    assert not encoded
    assert again.cost.seconds["encoder"] == 0
    sampler.draw([5], ["sea"])
    assert encoded


def test_another_scheduler_draws_as_the_stock_pipeline_does_with_it(stable_diffusion):
    chosen = {"class": "EulerDiscreteScheduler", "options": {"timestep_spacing": "trailing"}}
    pipeline = load(stable_diffusion, PipelineSettings(scheduler=chosen))
    assert type(pipeline.scheduler).__name__ == "EulerDiscreteScheduler"
    assert pipeline.scheduler.config.timestep_spacing == "trailing"
    assert pipeline.scheduler.config.steps_offset == 1  # the rest is the pipeline's own


def test_a_published_checkpoint_is_loaded_without_its_safety_checker(stable_diffusion, tmp_path):
    copy = shutil.copytree(stable_diffusion, tmp_path / "copy")
    index = json.loads((copy / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]  # gone in version 5
    index["requires_safety_checker"] = True
    (copy / "model_index.json").write_text(json.dumps(index))
    pipeline = load(copy)
    assert pipeline.safety_checker is None
    assert not pipeline.config.requires_safety_checker


def test_what_is_drawn_leaves_the_global_generator_alone(stable_diffusion):
    state = torch.random.get_rng_state()
    PipelineSampler(load(stable_diffusion), "cpu", 1).draw([0], ["dog"])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_sixteen_bits_are_computed_with_where_asked_for(stable_diffusion):
    pipeline = load(stable_diffusion, PipelineSettings(dtype="bfloat16"))
    assert pipeline.unet.dtype == pipeline.text_encoder.dtype == torch.bfloat16
    images = PipelineSampler(pipeline, "cpu", 1).draw([0], ["dog"]).images
    assert images.dtype == torch.float32


def test_a_pipeline_that_takes_no_condition_and_knows_no_tensors_draws_too():
    unet = UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8),
        layers_per_block=1, norm_num_groups=4, down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip
    sampler = PipelineSampler(DDPMPipeline(unet, DDPMScheduler()), "cpu", 3)
    drawn = sampler.draw([7, 8])
    assert drawn.images.shape == (2, 1, 8, 8)
    assert drawn.cost.nfe == 6
    alone = sampler.draw([8]).images
    torch.testing.assert_close(drawn.images[1:], alone, rtol=0, atol=1e-5)


def test_a_pipeline_that_gives_no_image_a_seed_is_an_error(stable_diffusion):
    class Twice(StableDiffusionPipeline):
        def __call__(self, prompt, generator, num_inference_steps):
            return super().__call__(prompt * 2, generator=generator * 2, output_type="np")

    pipeline = Twice(**load(stable_diffusion).components)
    with pytest.raises(RunError, match=r"Twice gave images of shape \(2, 3, .* for 1 seeds"):
        PipelineSampler(pipeline, "cpu", 1).draw([0], ["dog"])


def test_memory_that_runs_out_in_the_decoder_is_said_though_sana_only_warns(tmp_path, monkeypatch):
    pipeline = load(save(tmp_path / "sana", "Sana"))

    def decode(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(pipeline.vae, "decode", decode)  # no machine here runs out of it
    sampler = PipelineSampler(pipeline, "cpu", 1, FAMILIES["Sana"][1])
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate 20"):
        sampler.draw([0], ["dog"])


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_all_forms_become_tensors(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, channels), dtype=np.uint8)
    expected = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    pil = [Image.fromarray(image.squeeze()) for image in pixels]
    for form in (pixels / 255, pil, expected):
        torch.testing.assert_close(as_tensor(form), expected)
    assert as_tensor("images") is None


def test_noise_that_is_given_draws_the_images_of_the_seeds_that_it_is_of(family):
    sampler = PipelineSampler(load(family.directory, family.settings), "cpu", STEPS, family.options)
    conditions = list(family.conditions[:2])
    images = sampler.draw(SEEDS[:2], conditions).images
    noise = sampler.noise_draws.noise(SEEDS[:2])
    assert noise.dtype == torch.float32
    given = sampler.draw(noise, conditions).images
    torch.testing.assert_close(given, images, rtol=0, atol=1e-5)
    other = sampler.draw(0.8 * noise + 0.6 * noise.flip(0), conditions).images
    assert (other - images).abs().flatten(1).amax(1).min() > 1e-3
