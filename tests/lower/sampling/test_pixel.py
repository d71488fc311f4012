import inspect
import json
import shutil

import diffusers
import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    HeunDiscreteScheduler,
    UNet2DModel,
)

from raybilevel.errors import InputError, RunError
from raybilevel.lower.sampling.pipeline_info import check_pipeline
from raybilevel.lower.sampling.pixel import PixelSampler

SEEDS = [5, 11, 2**63]


def save(directory, pipeline_class, scheduler, **unet):
    config = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (8, 8),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
    }
    torch.manual_seed(0)
    pipeline_class(UNet2DModel(**{**config, **unet}), scheduler).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def ddim(tmp_path_factory):
    return save(
        tmp_path_factory.mktemp("p") / "ddim", DDIMPipeline, DDIMScheduler(num_train_timesteps=200)
    )


@pytest.fixture(scope="module")
def ddpm(tmp_path_factory):
    shape = {"sample_size": (8, 16), "in_channels": 3, "out_channels": 3}
    return save(
        tmp_path_factory.mktemp("p") / "ddpm",
        DDPMPipeline,
        DDPMScheduler(num_train_timesteps=200),
        **shape,
    )


def stock(pipeline_class, directory, steps):
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    pipeline = pipeline_class.from_pretrained(directory)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(3, generators, num_inference_steps=steps, output_type="np")
    return torch.as_tensor(output.images).permute(0, 3, 1, 2)


def test_images_are_those_of_the_stock_ddim_pipeline(ddim):
    images = PixelSampler(ddim, sampling_steps=20).sample(SEEDS)
    assert images.shape == (3, 1, 8, 8)
    torch.testing.assert_close(images, stock(DDIMPipeline, ddim, 20), rtol=0, atol=1e-5)


def test_images_are_those_of_the_stock_ddpm_pipeline_which_adds_noise_in_every_step(ddpm):
    images = PixelSampler(ddpm, sampling_steps=20).sample(SEEDS)
    assert images.shape == (3, 3, 8, 16)
    torch.testing.assert_close(images, stock(DDPMPipeline, ddpm, 20), rtol=0, atol=1e-5)


def test_an_image_depends_on_its_seed_and_not_on_its_batch(ddpm):
    sampler = PixelSampler(ddpm, sampling_steps=10)
    together = sampler.sample(SEEDS)
    alone = torch.cat([sampler.sample([seed]) for seed in reversed(SEEDS)]).flip(0)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_sampling_leaves_the_global_generator_alone(ddpm):
    state = torch.random.get_rng_state()
    PixelSampler(ddpm, sampling_steps=3).sample(SEEDS)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_images_are_ordinary_tensors_in_the_unit_range(ddim):
    images = PixelSampler(ddim, sampling_steps=3).sample(SEEDS)
    assert not images.is_inference()
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize(("steps", "evaluations"), [(None, 50), (7, 7), (200, 200)])
def test_nfe_counts_the_calls_of_the_network(ddim, steps, evaluations):
    assert calls(PixelSampler(ddim, sampling_steps=steps)) == evaluations


def test_nfe_counts_both_evaluations_of_a_second_order_step(tmp_path):
    directory = save(
        tmp_path / "heun", DDPMPipeline, HeunDiscreteScheduler(num_train_timesteps=200)
    )
    assert calls(PixelSampler(directory, sampling_steps=7)) == 13


def calls(sampler):
    """Counts, and holds the sampler's own figure against the count."""
    counted = []
    hook = sampler._unet.register_forward_hook(lambda *_: counted.append(1))
    sampler.sample([0])
    hook.remove()
    assert len(counted) == sampler.nfe_per_sample
    return len(counted)


def test_a_launchers_environment_does_not_make_the_worker_wait_for_peers(ddim, monkeypatch):
    AcceleratorState._reset_state(reset_partial_state=True)
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    PixelSampler(ddim, sampling_steps=2).sample([0])
    assert not torch.distributed.is_initialized()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_an_error_and_not_a_slow_run(ddim):
    with pytest.raises(RunError, match="cuda was asked"):
        PixelSampler(ddim, device="cuda")


def test_check_reads_shape_and_steps(ddim, ddpm):
    assert check_pipeline(ddim).image_shape == (1, 8, 8)
    assert check_pipeline(ddpm).image_shape == (3, 8, 16)
    assert check_pipeline(ddim).sampling_steps == 50
    assert check_pipeline(ddim, 200).sampling_steps == 200


@pytest.mark.parametrize("steps", [0, -3, 201])
def test_steps_that_the_scheduler_cannot_take_are_refused(ddim, steps):
    with pytest.raises(InputError, match=rf"sampling_steps is {steps}, .* from 1 to 200"):
        check_pipeline(ddim, steps)


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"model '.*nowhere' is not a directory"):
        check_pipeline(tmp_path / "nowhere")


def test_a_directory_that_is_no_pipeline_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is no diffusers pipeline, .*model_index\.json"):
        check_pipeline(tmp_path)


def edited(directory, copy, file, **changes):
    shutil.copytree(directory, copy)
    content = json.loads((copy / file).read_text())
    (copy / file).write_text(json.dumps({**content, **changes}))
    return copy


def test_a_text_to_image_pipeline_is_refused_and_says_what_is_supported(ddim, tmp_path):
    parts = {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"]}
    parts["text_encoder"] = ["transformers", "CLIPTextModel"]
    copy = edited(ddim, tmp_path / "copy", "model_index.json", **parts)
    with pytest.raises(InputError, match=r"StableDiffusionPipeline.*text_encoder.*only uncond"):
        check_pipeline(copy)


def test_a_class_conditional_network_is_refused(ddim, tmp_path):
    copy = edited(ddim, tmp_path / "copy", "unet/config.json", num_class_embeds=10)
    with pytest.raises(InputError, match="has a conditional network"):
        check_pipeline(copy)


def test_pickled_weights_are_refused(ddim, tmp_path):
    copy = shutil.copytree(ddim, tmp_path / "copy")
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError, match="has no safetensors"):
        check_pipeline(copy)


def test_a_damaged_index_is_refused(ddim, tmp_path):
    copy = shutil.copytree(ddim, tmp_path / "copy")
    (copy / "model_index.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        check_pipeline(copy)


STOCHASTIC = {
    "DDIMScheduler": {}, "DDPMScheduler": {}, "EulerDiscreteScheduler": {},
    "EulerAncestralDiscreteScheduler": {}, "DPMSolverMultistepScheduler": {},
    "DPMSolverSinglestepScheduler": {"algorithm_type": "sde-dpmsolver++"},
    "HeunDiscreteScheduler": {}, "UniPCMultistepScheduler": {}, "LCMScheduler": {},
    "TCDScheduler": {}, "KDPM2AncestralDiscreteScheduler": {}, "PNDMScheduler": {},
    "SASolverScheduler": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def sampler(ddim):
    return PixelSampler(ddim, sampling_steps=5)


def with_scheduler(sampler, name, monkeypatch, **options):
    """The same sampler with another scheduler."""
    other = getattr(diffusers, name).from_config(sampler._scheduler.config, **options)
    monkeypatch.setattr(sampler, "_scheduler", other)
    noisy = "generator" in inspect.signature(other.step).parameters
    monkeypatch.setattr(sampler, "_noisy", noisy)
    sampler.__dict__.pop("_tried", None)
    return sampler


@pytest.mark.parametrize(
    ("name", "options"),
    [*STOCHASTIC.items(), ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"})],
)
def test_noise_that_is_given_draws_the_same_bits_as_the_seeds_it_is_of(
    sampler, name, options, monkeypatch
):
    sampler = with_scheduler(sampler, name, monkeypatch, **options)
    noise = sampler.noise(SEEDS)
    assert sampler.why_fixed("model") is None
    assert torch.equal(sampler.sample_noise(noise), sampler.sample(SEEDS))
    assert not torch.equal(sampler.sample_noise(noise.flip(1)), sampler.sample(SEEDS))


def test_noise_has_what_every_step_adds(ddim, ddpm):
    assert PixelSampler(ddim, sampling_steps=5).noise([1]).shape == (1, 64)
    noise = PixelSampler(ddpm, sampling_steps=5).noise([1, 2])  # the last step adds none
    assert noise.shape == (2, 5 * 3 * 8 * 16)
    assert abs(noise.mean()) < 4 / noise.numel() ** 0.5


def test_a_scheduler_whose_noise_cannot_be_given_says_so(sampler, monkeypatch):
    sampler = with_scheduler(sampler, "DDPMScheduler", monkeypatch)
    step = sampler._scheduler.step

    def of_its_own(*args, generator, **options):
        return step(*args, **options)

    monkeypatch.setattr(sampler._scheduler, "step", of_its_own)
    said = sampler.why_fixed("model 'm'")
    assert said.startswith("model 'm' draws an image that is ")
    assert "such as DDIMScheduler" in said
