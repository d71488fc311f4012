"""A network that is yet to be trained: configuration, first weights, what levels it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.imports import said_in_a_sentence
from raybilevel.lower.sampling.level_info import Conditioning, LevelInfo

if TYPE_CHECKING:
    from diffusers import UNet2DModel

TRAIN_STEPS = 1000
"""Steps of the scale that a network's time embedding is asked on."""

WIDEST = (-12.0, 12.0)
"""Log-SNR at its ends, where the network is conditioned on the noise level.

Beyond, float32 does not tell the abar of its steps apart."""

_NORM_GROUPS = 8


def network_config(
    shape: tuple[int, int, int], options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Arguments of a small `UNet2DModel` for images of `shape` (C, H, W), `options` on top.

    Two levels below 16 pixels a side, three from there on, attention at half the size and below.

    Raises
    ------
    InputError
        If an option is not one of `UNet2DModel`'s, or the size cannot be halved often enough.
    """
    channels, height, width = shape
    widths = _widths(channels, max(height, width))
    config: dict[str, Any] = {"block_out_channels": widths, "layers_per_block": 1}
    config |= {"norm_num_groups": _NORM_GROUPS, "attention_head_dim": _NORM_GROUPS}
    config |= dict(options or {})
    _check_options(config)
    below = len(config["block_out_channels"]) - 1
    config = {
        "down_block_types": ("DownBlock2D", *["AttnDownBlock2D"] * below),
        "up_block_types": (*["AttnUpBlock2D"] * below, "UpBlock2D"),
        **config,
        "sample_size": height if height == width else (height, width),
        "in_channels": channels,
        "out_channels": channels,
    }
    _check(config, height, width)
    return config


def _widths(channels: int, size: int) -> tuple[int, ...]:
    if size < 16:
        return (16, 32)
    return (16, 32, 32) if channels == 1 else (32, 64, 64)


def _check_options(config: Mapping[str, Any]) -> None:
    widths = config["block_out_channels"]
    if not isinstance(widths, (list, tuple)) or not widths:
        raise InputError(
            f"network has block_out_channels {widths!r}; it must be a list of channels, one for "
            "each size that images are halved to, such as [16, 32]"
        )
    if config.get("dropout"):
        raise InputError(
            f"network has dropout {config['dropout']}, which would not be used: samples are drawn "
            "and the network is trained in evaluation mode; leave it out"
        )


def _check(config: Mapping[str, Any], height: int, width: int) -> None:
    levels = len(config["block_out_channels"])
    if height % 2 ** (levels - 1) or width % 2 ** (levels - 1):
        raise InputError(
            f"network has {levels} block_out_channels, which halve images {levels - 1} times, but "
            f"images of {height} x {width} cannot be; give fewer, or images of another size"
        )
    kind = config.get("time_embedding_type", "positional")
    if kind != "positional":
        raise InputError(
            f"network has time_embedding_type '{kind}', which cannot be asked at real-valued "
            "levels; only 'positional' can"
        )
    _try(config, height, width)


def _try(config: Mapping[str, Any], height: int, width: int) -> None:
    """Does diffusers take it, and run it on images alone? Without memory or arithmetic."""
    from raybilevel.lower.sampling.network_probe import shape_made

    unet = new_unet(config, 0, "meta")
    shape = (config["in_channels"], height, width)
    with said_in_a_sentence("network", f"images {(2, *shape)}"):
        made = shape_made(unet, shape)
    if made != (2, *shape):
        raise InputError(f"network makes {made} of images {(2, *shape)}")


def new_unet(config: Mapping[str, Any], seed: int, device: str = "cpu") -> UNet2DModel:
    """The network with its first weights, which the seed decides.

    Raises
    ------
    InputError
        With diffusers' own words where it cannot be made.
    """
    import torch
    from diffusers import UNet2DModel

    known = set(UNet2DModel.__init__.__wrapped__.__annotations__)
    if unknown := sorted(set(config) - known):
        raise InputError(f"network has {unknown[0]}, which is no argument of UNet2DModel")
    with (
        torch.random.fork_rng(devices=[]),
        torch.device(device),
        said_in_a_sentence("network", "UNet2DModel's construction"),
    ):
        torch.manual_seed(seed)
        return UNet2DModel(**config)


def new_info(
    config: Mapping[str, Any],
    conditioning: Conditioning,
    prediction_type: str,
    clip: float | None,
    scheduler: Mapping[str, Any],
) -> LevelInfo:
    """What a new network will have been trained on.

    Conditioned on the noise level it is asked at steps that are even in log-SNR from 12 (step 0)
    to -12 (the last); conditioned on the step, at the share of the schedule's time.
    `scheduler` is the config of a stock scheduler to compare with.
    """
    logsnr = np.linspace(*WIDEST[::-1], TRAIN_STEPS)
    size = config["sample_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return LevelInfo(
        (config["in_channels"], height, width), logsnr, prediction_type, clip,
        dict(scheduler), dict(config), conditioning,
    )  # fmt: skip
