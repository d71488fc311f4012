"""Networks that are yet to be trained."""

import numpy as np
import pytest
import torch

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_sampler import asked_steps
from raybilevel.lower.training.unet import TRAIN_STEPS, network_config, new_info, new_unet


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 8, 12)])
def test_defaults_make_a_network_for_images_of_that_size(shape):
    unet = new_unet(network_config(shape), 0).eval()
    with torch.inference_mode():
        out = unet(torch.zeros(1, *shape), torch.tensor([3.7])).sample
    assert out.shape == (1, *shape)


def test_a_seed_decides_the_first_weights_and_leaves_the_global_generator_alone():
    config, before = network_config((1, 8, 8)), torch.random.get_rng_state()
    weights = [new_unet(config, seed).conv_in.weight for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((1, 9, 9), {}, "network has 2 block_out_channels, which halve images 1 times, but images"),
        ((1, 30, 30), {}, "images of 30 x 30 cannot be"),
        ((1, 8, 8), {"no_such": 1}, "network has no_such, which is no argument of UNet2DModel"),
        (
            (1, 8, 8),
            {"norm_num_groups": 5},
            "network failed on UNet2DModel's construction: ValueError: num_channels .16. must be",
        ),
        ((1, 8, 8), {"time_embedding_type": "fourier"}, "'fourier', which cannot be asked at real"),
        ((1, 8, 8), {"block_out_channels": 16}, "block_out_channels 16; it must be a list"),
        ((1, 8, 8), {"block_out_channels": []}, "block_out_channels .*; it must be a list"),
        ((1, 8, 8), {"dropout": 0.1}, "dropout 0.1, which would not be used"),
        ((1, 8, 8), {"num_class_embeds": 10}, "network failed on images .*class_labels"),
        ((1, 8, 8), {"class_embed_type": "timestep"}, "network failed on images .*class_labels"),
        ((1, 8, 8), {"norm_eps": "1e-5"}, "network failed on images .*TypeError"),
        ((1, 8, 8), {"attention_head_dim": 0}, "network failed on .*ZeroDivisionError"),
        ((1, 8, 8), {"layers_per_block": 0}, "network failed on images .*RuntimeError"),
    ],
)
def test_what_cannot_be_a_network_is_refused(shape, options, said):
    with pytest.raises(InputError, match=said) as error:
        network_config(shape, options)
    assert "\n" not in str(error.value)


def info(conditioning):
    return new_info(network_config((1, 8, 8)), conditioning, "epsilon", 1.0, {})


def test_conditioned_on_the_noise_level_it_is_asked_evenly_in_log_snr():
    steps = asked_steps(info("noise_level"), torch.tensor([-12.0, 0.0, 12.0], dtype=torch.float64))
    assert steps.tolist() == pytest.approx([TRAIN_STEPS - 1, (TRAIN_STEPS - 1) / 2, 0])


@pytest.mark.parametrize("k", [1, 4, TRAIN_STEPS])
def test_conditioned_on_the_step_it_is_asked_by_the_place_alone(k):
    levels = torch.from_numpy(np.sort(np.random.default_rng(0).uniform(-9, 9, k)))
    steps = asked_steps(info("step"), levels)
    expected = TRAIN_STEPS * np.arange(k, 0, -1) / k - 1
    assert np.allclose(steps.numpy(), expected)
