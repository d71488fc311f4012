"""A network of real class and random weights, small enough for thousands of calls."""

import torch
from diffusers import UNet2DModel


def small_network(seed=0, **changes):
    """One block at 8 x 8, grey, without a level below."""
    torch.manual_seed(seed)
    return UNet2DModel(
        **{
            "sample_size": 8,
            "in_channels": 1,
            "out_channels": 1,
            "block_out_channels": (8,),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "down_block_types": ("DownBlock2D",),
            "up_block_types": ("UpBlock2D",),
            **changes,
        }
    )
