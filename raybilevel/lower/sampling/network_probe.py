"""Whether a network can be run on images of a shape: tried without weights or arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DModel

from raybilevel.imports import said_in_a_sentence


def shape_made(unet: Any, shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Shape of what a network on the meta device makes of two images (C, H, W) of `shape`.

    Raises what the network raises.
    """
    with torch.no_grad():
        images = torch.zeros((2, *shape), device="meta")
        made = unet(images, torch.zeros(2, device="meta"), return_dict=False)[0]
    return tuple(made.shape)


def check_runs(config: Mapping[str, Any], shape: tuple[int, int, int], named: str) -> None:
    """Refuse a network that raises on images (C, H, W) of `shape`.

    Parameters
    ----------
    config : what its `config.json` holds.
    named : what sentences call it.

    Raises
    ------
    InputError
        With diffusers' own words.
    """
    given = f"images of {' x '.join(map(str, shape))}"
    with (
        torch.random.fork_rng(devices=[]),
        torch.device("meta"),
        said_in_a_sentence(f"{named}: its network", given),
    ):
        shape_made(UNet2DModel.from_config(dict(config)), shape)
