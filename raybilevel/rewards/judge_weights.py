"""Weights of the judges of digits that come along, which jobs/train_models.py makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

_FOLDER = Path(__file__).parent / "judges"

_Judge = TypeVar("_Judge", bound=nn.Module)


def judge(
    make: Callable[[], _Judge],
    name: str,
    arranged: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> _Judge:
    """A judge in evaluation mode and frozen; no random numbers are drawn.

    Parameters
    ----------
    name : of its file.
    arranged : the network's weights, of those in the file.
    """
    with torch.device("meta"):  # initial weights would be drawn from the global generator
        network = make()
    weights = arranged(load_file(_FOLDER / f"{name}.safetensors"))
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)
