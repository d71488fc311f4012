"""Small real pipelines, with random weights, for the schedule problem's tests."""

import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

from raybilevel import ScheduleTuning


def tiny_unet(size=8, channels=1, **options):
    """A network without attention whose noise predictions are of about unit size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=size, in_channels=channels, out_channels=channels,
            block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"), **options,
        )  # fmt: skip
    with torch.no_grad():
        unet.conv_out.weight.mul_(3)
    return unet


def save_pipeline(folder, unet=None, **scheduler):
    """A stock pipeline of 40 training steps in `folder`, and its path."""
    options = {"num_train_timesteps": 40, "beta_start": 0.003, "beta_end": 0.3} | scheduler
    DDIMPipeline(unet or tiny_unet(), DDIMScheduler(**options)).save_pretrained(folder)
    return str(folder)


def tuning(model, **changes):
    """A schedule problem of seconds: two updates of four levels."""
    settings = {
        "data": "digits", "sampling_steps": 4, "samples_per_evaluation": 24, "shard_size": 8,
        "directions": 3, "updates": 2, "compare_samples": 128,
    }  # fmt: skip
    return ScheduleTuning(model=model, **settings | changes)
