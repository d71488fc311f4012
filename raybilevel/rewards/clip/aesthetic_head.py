"""The head of LAION's aesthetic predictor: weights of its two published forms, read safely."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybilevel.errors import InputError
from raybilevel.rewards.clip.hub import folder_of

if TYPE_CHECKING:
    from torch import nn


def aesthetic_head(head: str, width: int, device: str) -> nn.Module:
    """The head in a file, for features of `width` numbers.

    Parameters
    ----------
    head : a file, or one on the hub, `owner/name/file`: safetensors, or a torch file of tensors
        alone.

    Raises
    ------
    InputError
        If there is no such file, or it holds anything but the weights of a head for that width.
    """
    where = "aesthetic's head"
    weights = _read(_file(head, where), f"{where} '{head}'")
    return _network(weights, width, f"{where} '{head}'").to(device).eval().requires_grad_(False)


def _file(head: str, where: str) -> Path:
    if Path(head).is_file():
        return Path(head)
    model, _, name = head.rpartition("/")
    if model.partition("@")[0].count("/") != 1:
        raise InputError(
            f"{where} is '{head}', which is no file in {Path.cwd()}, and no file of the hub such "
            "as 'owner/name/file.safetensors'"
        )
    file = folder_of(model, [name], [name], where) / name
    if not file.is_file():
        raise InputError(f"{where} is '{head}', but '{model}' has no such file")
    return file


def _read(file: Path, named: str) -> Any:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, EOFError, RuntimeError) as error:
        raise InputError(
            f"{named} is no file of tensors alone, and nothing else is read; save the head's "
            "state_dict by safetensors"
        ) from error


def _network(weights: Any, width: int, named: str) -> nn.Module:
    import torch

    with torch.device("meta"):  # initial weights would be drawn from the global generator
        forms = _forms(width)
    given = weights if isinstance(weights, dict) else {}
    named_alike = {str(name).removeprefix("layers."): value for name, value in given.items()}
    shapes = {name: getattr(value, "shape", None) for name, value in named_alike.items()}
    for form in forms:
        if shapes == {name: value.shape for name, value in form.state_dict().items()}:
            floats = {name: value.float() for name, value in named_alike.items()}
            form.load_state_dict(floats, assign=True)
            return form
    raise InputError(
        f"{named} is no head for features of {width} numbers, which the model gives: it must hold "
        f"a weight (1, {width}) and a bias, or layers.0, 2, 4, 6 and 7 as LAION's predictor"
    )


def _forms(width: int) -> list[nn.Module]:
    """A linear head, and the published perceptron: without activations, and here without dropout.

    Source: github.com/christophschuhmann/improved-aesthetic-predictor.
    """
    from torch import nn

    widths = (width, 1024, 128, 64, 16, 1)
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    first, second, third, *last = layers
    dropped = nn.Identity
    return [
        nn.Linear(width, 1),
        nn.Sequential(first, dropped(), second, dropped(), third, dropped(), *last),
    ]
