"""A baked pipeline draws what we do, where nobody has heard of raybilevel."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
)
from lower.sampling.small_networks import small_network
from safetensors.torch import load_file

from raybilevel.config import registry
from raybilevel.lower.sampling.export import bake
from raybilevel.lower.sampling.level_info import read_levels
from raybilevel.lower.sampling.level_sampler import LevelSampler, asked_step
from raybilevel.lower.sampling.pipeline_loading import load_pipeline
from raybilevel.problems.schedule.export import exported_steps, stock_config
from raybilevel.schedules import LOGSNR_FLOOR

SEED, COUNT = 11, 4


def save(directory, scheduler, **changes):
    """A tiny random network whose output is of about unit size, and depends on the time."""
    unet = small_network(**changes)
    with torch.no_grad():
        unet.conv_out.weight *= 3
        for name, weight in unet.named_parameters():
            if "time_emb" in name:
                weight.mul_(3)
    DDPMPipeline(unet, scheduler).save_pretrained(directory)
    return directory


def some_levels(info, k, seed):
    """Levels within what the network knows, one of them at its noisy end.

    Where a random network predicts clean images, which have nothing to do with what is in x, a
    small sigma magnifies their difference, and with it the rounding: levels stay below 4.
    """
    cleanest = 4.0 if info.prediction_type == "sample" else 12.0
    low, high = max(info.bounds[0], -12.0), min(info.bounds[1], cleanest)
    shares = np.random.default_rng(seed).uniform(0.3, 1.7, k).cumsum()  # strides of all sizes
    return np.concatenate([[low], low + (high - low) * shares[:-1] / shares[-1]])


def baked(source, target, sampler, levels):
    info = read_levels(source)
    config = stock_config(levels, exported_steps(len(levels), len(info.logsnr)))
    bake(load_pipeline(source).unet, target, sampler, info, config)
    return target


def ours(source, sampler, levels):
    drawing = LevelSampler.open(source, sampler)
    return drawing.sample(drawing.noise(SEED, COUNT), levels.tolist())


def stock(directory, steps):
    pipeline = DiffusionPipeline.from_pretrained(directory)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(SEED)
    images = pipeline(COUNT, generator, num_inference_steps=steps, output_type="np").images
    return torch.as_tensor(images).permute(0, 3, 1, 2)


MODELS = {
    "epsilon": DDPMScheduler(num_train_timesteps=100, beta_end=0.03),
    "epsilon, unclipped": DDPMScheduler(num_train_timesteps=100, beta_end=0.03, clip_sample=False),
    "sample": DDIMScheduler(
        num_train_timesteps=100, prediction_type="sample", clip_sample_range=0.9
    ),
    "v": DDIMScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2"),
    "v, from dpm++": DPMSolverMultistepScheduler(
        num_train_timesteps=100, prediction_type="v_prediction", use_karras_sigmas=True
    ),
    "v, zero terminal SNR": DDIMScheduler(
        num_train_timesteps=100,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        clip_sample=False,
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def source(request, tmp_path_factory):
    return save(tmp_path_factory.mktemp("source"), MODELS[request.param])


@pytest.mark.parametrize("sampler", registry.names("solvers"))
def test_the_reloaded_pipeline_draws_our_images(source, tmp_path, sampler):
    info = read_levels(source)
    levels = some_levels(info, 10, 1)
    images = ours(source, sampler, levels)
    expected = stock(baked(source, tmp_path / "target", sampler, levels), 10)
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)
    # neither all the same nor all at the ends of the range
    assert ((images > 0) & (images < 1)).float().mean() > 0.1
    assert (ours(source, sampler, levels + 0.2) - images).abs().max() > 100 * 1e-4


@pytest.mark.parametrize("steps", [1, 7, 64])
def test_numbers_of_steps_that_do_not_divide_the_trained_ones_get_more_rows(tmp_path, steps):
    """Only dpm++ may: then each of T // N rounds is the same number of rows of the table."""
    source = save(tmp_path / "source", MODELS["v, from dpm++"])
    levels = some_levels(read_levels(source), steps, 3)
    target = baked(source, tmp_path / "target", "dpm++", levels)
    rows = json.loads((target / "unet" / "config.json").read_text())["num_train_timesteps"]
    assert rows % steps == 0
    assert rows >= 100
    images = ours(source, "dpm++", levels)
    torch.testing.assert_close(images, stock(target, steps), rtol=0, atol=1e-4)


def test_zero_terminal_snr_levels_reach_below_all_but_the_last_trained_one(tmp_path):
    source = save(tmp_path / "source", MODELS["v, zero terminal SNR"])
    info = read_levels(source)
    assert info.bounds[0] == LOGSNR_FLOOR
    levels = np.array([-12.0, -3.0, 0.0, 3.0])
    assert levels[0] < info.logsnr[-2]
    for sampler in registry.names("solvers"):
        target = baked(source, tmp_path / sampler, sampler, levels)
        torch.testing.assert_close(
            ours(source, sampler, levels), stock(target, 4), rtol=0, atol=1e-4
        )


def test_crowded_levels_are_drawn_as_ours(tmp_path):
    """At the ends of what the network knows; extrapolation over a stride much longer than the one
    before it magnifies rounding, here fifty times."""
    source = save(tmp_path / "source", MODELS["epsilon"])
    low, high = read_levels(source).bounds
    levels = np.array([low, low + 0.05, low + 0.1, 1.0, high - 0.5, high - 0.25])
    for sampler in registry.names("solvers"):
        target = baked(source, tmp_path / sampler, sampler, levels)
        torch.testing.assert_close(
            ours(source, sampler, levels), stock(target, 6), rtol=0, atol=2e-4
        )


@pytest.mark.parametrize("sampler", registry.names("solvers"))
def test_weights_are_the_same_to_the_bit_but_for_the_table_of_times(tmp_path, sampler):
    source = save(tmp_path / "source", MODELS["v"])
    info = read_levels(source)
    levels = some_levels(info, 5, 4)
    target = baked(source, tmp_path / "target", sampler, levels)
    before, after = (
        load_file(d / "unet" / "diffusion_pytorch_model.safetensors") for d in (source, target)
    )
    table = after.pop("time_proj.weight")
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    # rows of the steps visited: the network's own embedding of the levels asked for
    unet = DiffusionPipeline.from_pretrained(source).unet
    visited = np.arange(len(table), 0, -(len(table) // 5)) - 1
    expected = unet.time_proj(asked_step(info, torch.from_numpy(levels)))
    torch.testing.assert_close(table[visited], expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("sampler", registry.names("solvers"))
def test_the_pipeline_is_stock_and_says_all_that_it_depends_on(tmp_path, sampler):
    source = save(tmp_path / "source", MODELS["sample"])
    target = baked(source, tmp_path / "target", sampler, some_levels(read_levels(source), 5, 5))
    names = {
        "ddim": ("DDIMPipeline", "DDIMScheduler"),
        "dpm++": ("DDPMPipeline", "DPMSolverMultistepScheduler"),
    }
    index = json.loads((target / "model_index.json").read_text())
    config = json.loads((target / "scheduler" / "scheduler_config.json").read_text())
    assert (index["_class_name"], config["_class_name"]) == names[sampler]
    assert "raybilevel" not in json.dumps(index) + json.dumps(config)
    assert config["timestep_spacing"] == "trailing"
    assert config["prediction_type"] == "sample"
    assert len(config["trained_betas"]) == config["num_train_timesteps"] == 100
    if sampler == "ddim":
        assert (config["clip_sample"], config["clip_sample_range"]) == (True, 0.9)
        assert config["set_alpha_to_one"]
        assert isinstance(DDIMPipeline.from_pretrained(target).scheduler, DDIMScheduler)
    unet = json.loads((target / "unet" / "config.json").read_text())
    assert unet["time_embedding_type"] == "learned"


STRANGER = """
import sys

class Never:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "raybilevel":
            raise ImportError("nobody has heard of it")

sys.meta_path.insert(0, Never())

import numpy as np
import torch
from diffusers import DiffusionPipeline

seed, count, steps, *directories = sys.argv[1:]
for directory in directories:
    pipeline = DiffusionPipeline.from_pretrained(directory)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(int(seed))
    images = pipeline(
        int(count), generator, num_inference_steps=int(steps), output_type="np"
    ).images
    np.save(directory + ".npy", images.transpose(0, 3, 1, 2))

assert not any(name.split(".")[0] == "raybilevel" for name in sys.modules)
try:
    import raybilevel
except ImportError as error:
    print(error)
"""


def test_a_process_that_cannot_import_raybilevel_draws_our_images(tmp_path):
    source = save(tmp_path / "source", MODELS["epsilon"])
    levels = some_levels(read_levels(source), 5, 6)
    targets = [
        baked(source, tmp_path / sampler, sampler, levels) for sampler in registry.names("solvers")
    ]
    script, elsewhere = tmp_path / "stranger.py", tmp_path / "elsewhere"
    script.write_text(STRANGER)
    elsewhere.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    answer = subprocess.run(
        [sys.executable, "-I", script, str(SEED), str(COUNT), "5", *targets],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "nobody has heard of it"
    for sampler, target in zip(registry.names("solvers"), targets, strict=True):
        drawn = torch.from_numpy(np.load(f"{target}.npy"))
        torch.testing.assert_close(drawn, ours(source, sampler, levels), rtol=0, atol=1e-4)
