import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline

from raybilevel.data import load
from raybilevel.lower.training.pretrain import pretrain


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pipeline") / "digits"
    return directory, pretrain(directory, load("digits").images, steps=30, seed=3)


def test_the_loss_falls(trained):
    _, losses = trained
    assert len(losses) == 30
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_a_stock_pipeline_reads_what_is_saved_and_draws_from_it(trained):
    directory, _ = trained
    pipeline = DDIMPipeline.from_pretrained(directory, use_safetensors=True)
    images = pipeline(batch_size=2, num_inference_steps=5, output_type="np").images
    assert images.shape == (2, 8, 8, 1)


def test_training_moves_the_weights_that_are_saved(trained, tmp_path):
    directory, _ = trained
    pretrain(tmp_path / "start", load("digits").images, steps=1, seed=3)
    start = DDIMPipeline.from_pretrained(tmp_path / "start").unet.conv_in.weight
    end = DDIMPipeline.from_pretrained(directory).unet.conv_in.weight
    assert (start - end).abs().max() > 1e-3


def test_a_seed_gives_the_same_losses_and_leaves_the_global_generator_alone(trained, tmp_path):
    _, losses = trained
    state = torch.random.get_rng_state()
    again = pretrain(tmp_path / "again", load("digits").images, steps=3, seed=3)
    assert again[0] == losses[0]
    assert pretrain(tmp_path / "other", load("digits").images, steps=1, seed=4)[0] != losses[0]
    assert torch.equal(torch.random.get_rng_state(), state)
