"""Rewards: registered ones by name, and how a user's own are found and run.

A reward maps images (N, C, H, W) in [0, 1] to (N,) or (N, 1) numbers, more being better. Nothing
else is asked of it: no gradient, no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.imports import resolve
from raybilevel.rewards.builtin import Reward
from raybilevel.rewards.spec import parse

__all__ = ["Reward", "evaluate", "load_reward"]


def load_reward(spec: str | Reward, where: str, device: str = "cpu") -> Reward:
    """Find the reward that `spec` names.

    Parameters
    ----------
    spec
        A name, of one that comes along or that another package registers ("ink",
        "jpeg_size(quality=75)", "class_log_prob(3)"), a weighted sum of them
        ("legibility + 0.5 * novelty"), an import path "package.module:name", or a callable, which
        is returned as it is.
    where
        The argument that holds the spec, for the error's sentence.
    device
        "cpu" or "cuda": where a built-in's network runs.

    Raises
    ------
    InputError
        If there is no such reward, or it takes other arguments.
    """
    if callable(spec):
        return spec
    if ":" in spec:
        reward = resolve(spec, where)
        if not callable(reward):
            raise InputError(f"{where} is '{spec}', which is no function of images but {reward!r}")
        return reward
    terms = [(t.weight, t.make(device)) for t in parse(spec, where)]
    return lambda images: sum(weight * reward(images) for weight, reward in terms)


def evaluate(reward: Reward, images: Any, where: str) -> np.ndarray:
    """Run `reward` on `images` (N, ...) without gradients.

    Returns
    -------
    (N,) float64. Whether they are finite is for the caller to check, who knows the samples.

    Raises
    ------
    InputError
        If the reward does not return (N,) or (N, 1) numbers.
    """
    import torch

    with torch.no_grad():
        array = np.asarray(_plain(reward(images)))
    n = len(images)
    if array.shape == (n, 1):
        array = array[:, 0]
    if array.shape != (n,) or array.dtype.kind not in "fiub":
        raise InputError(
            f"{where} returned {_described(array)} for images {tuple(images.shape)}; "
            f"it must return {n} numbers, of shape ({n},)"
        )
    return array.astype(np.float64)


def _plain(values: Any) -> Any:
    """Numbers without torch, which has types that numpy does not know, such as bfloat16."""
    import torch

    if isinstance(values, torch.Tensor):
        return values.detach().cpu().double().numpy()
    return [_plain(v) for v in values] if isinstance(values, (list, tuple)) else values


def _described(array: np.ndarray) -> str:
    if array.dtype.kind in "fiub":
        return f"numbers of shape {array.shape}"
    return f"something that is no array of numbers ({array.dtype})"
