"""The same images and the same training on the GPU as on the CPU, to rounding."""

import pytest
import torch
from schedule_toys import learning, save_pipeline

from raybilevel import RunConfig
from raybilevel.lower.sampling.level_sampler import LevelSampler
from raybilevel.lower.sampling.pixel import PixelSampler
from raybilevel.runtime.rounds import run_locally

LEVELS = (-6.0, -2.0, 1.0, 4.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_pipeline(tmp_path_factory.mktemp("model") / "pipeline")


def test_an_image_depends_on_its_seed_and_not_on_the_device(model, forget, all_bits):
    images = {}
    for device in ("cpu", "cuda"):
        forget()
        images[device] = PixelSampler(model, device, sampling_steps=5).sample(range(16))
    assert images["cuda"].device.type == "cpu"
    torch.testing.assert_close(images["cuda"], images["cpu"], atol=2e-4, rtol=0)


@pytest.mark.parametrize("solver", ["dpm++", "ddim"])
def test_any_levels_give_the_same_images_as_on_the_cpu(model, forget, all_bits, solver):
    images = {}
    for device in ("cpu", "cuda"):
        forget()
        drawn = LevelSampler.open(model, solver, device)
        images[device] = drawn.sample(drawn.noise(3, 16), LEVELS)
    assert images["cuda"].device.type == "cuda"
    torch.testing.assert_close(images["cuda"].cpu(), images["cpu"], atol=2e-4, rtol=0)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_is_used_and_stays_close(model, forget, precision):
    images = {}
    for name in ("no", precision):
        forget()
        drawn = LevelSampler.open(model, device="cuda", mixed_precision=name)
        images[name] = drawn.sample(drawn.noise(3, 16), LEVELS)
    gap = (images[precision] - images["no"]).abs().mean()
    assert 0 < gap < 0.02


def test_two_rounds_of_training_are_those_of_the_cpu(forget, all_bits):
    weights = {}
    for device in ("cpu", "cuda"):
        forget()
        run, rows = run_locally(learning(), RunConfig(seed=5, max_rounds=3), device=device)
        weights[device] = torch.tensor(run.state["weights"]), rows[-1]["lower_loss"]
    torch.testing.assert_close(weights["cuda"], weights["cpu"], atol=1e-3, rtol=1e-2)
