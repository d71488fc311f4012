"""The numbers that a reward returns, in the forms that trainers' rewards have."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.rewards.builtin import Reward
from raybilevel.rewards.reading import call


def evaluate(
    reward: Reward,
    images: Any,
    where: str,
    prompts: Sequence[str] | None = None,
    metadata: Sequence[Mapping[str, Any]] | None = None,
) -> np.ndarray:
    """Run `reward` on `images` (N, ...) without gradients.

    Parameters
    ----------
    where : what sentences call the reward.
    prompts : a prompt a sample; None where the model draws from none.
    metadata : a dict a sample; None where the model draws from no prompts.

    Returns
    -------
    (N,) float64. Whether they are finite is for the caller to check, who knows the samples.

    Raises
    ------
    InputError
        If the reward reads what there is not, or does not return (N,) or (N, 1) numbers.
    """
    import torch

    with torch.no_grad():
        scores = scores_of(call(reward, images, prompts, metadata, where), images, where)
    return np.asarray(_plain(scores)).astype(np.float64)


def scores_of(returned: Any, images: Any, where: str) -> Any:
    """Of what a reward returned, the scores: (N,), a tensor or an array.

    Parameters
    ----------
    returned : scores, (N,) or (N, 1), or a tuple of scores and of anything else, as trainers'
        rewards return it. A tensor keeps its gradient.

    Raises
    ------
    InputError
        If it is anything else.
    """
    n = len(images)
    scores = returned[0] if _has_info(returned, n) else returned
    if isinstance(scores, Mapping):
        names = ", ".join(map(str, scores))
        raise InputError(
            f"{where} returned scores by name ({names}); it must return {n} numbers, such as one "
            "of them"
        )
    if not is_tensor(scores):
        scores = np.asarray(_plain(scores))
    if tuple(scores.shape) == (n, 1):
        scores = scores[:, 0]
    if tuple(scores.shape) != (n,) or not _are_numbers(scores):
        raise InputError(
            f"{where} returned {_described(scores)} for images {tuple(images.shape)}; "
            f"it must return {n} numbers, of shape ({n},)"
        )
    return scores


def _has_info(returned: Any, n: int) -> bool:
    """Whether it is (scores, info), and not a tuple of the scores of two samples."""
    if not isinstance(returned, tuple) or len(returned) != 2:
        return False
    first, second = map(_length, returned)
    if isinstance(returned[1], Mapping):
        return True
    return first is not None and not (n == 2 and first == second == 1)


def _length(thing: Any) -> int | None:
    try:
        return len(thing)
    except TypeError:  # a number, or a tensor that is one
        return None


def is_tensor(thing: Any) -> bool:
    """Whether it is a torch tensor; where torch is not imported, nothing is."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.Tensor)


def _plain(values: Any) -> Any:
    """Numbers without torch, which has types that numpy does not know, such as bfloat16."""
    if is_tensor(values):
        return values.detach().cpu().double().numpy()
    return [_plain(v) for v in values] if isinstance(values, (list, tuple)) else values


def _are_numbers(scores: Any) -> bool:
    return not scores.is_complex() if is_tensor(scores) else scores.dtype.kind in "fiub"


def _described(scores: Any) -> str:
    if _are_numbers(scores):
        return f"numbers of shape {tuple(scores.shape)}"
    return f"something that is no array of numbers ({scores.dtype})"
