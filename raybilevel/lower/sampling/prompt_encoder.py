"""Prompts are encoded once, each alone, and kept: the stock call finds them done."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from raybilevel.lower.sampling.pipeline_call import is_text

_KEPT = 128
_SCALARS = (str, int, float, bool, type(None), torch.device, torch.dtype)


class RaggedPromptsError(ValueError):
    """The encodings of these prompts differ in shape, so that they cannot be one batch."""


class PromptEncoder:
    """Stands in for a pipeline's `encode_prompt`, and gives what that gives for each prompt alone.

    Which of the returned tensors hold a row a prompt, and along which axis, is found by encoding
    one prompt twice over: families differ (pooled embeddings, attention masks, position ids,
    stacks of layers, lists), and the call knows its own.

    Parameters
    ----------
    encode : the pipeline's own bound method.
    off_device : called after prompts were encoded, to make room.

    Raises
    ------
    RaggedPromptsError
        On prompts of a batch that cannot be joined; prompts that are equal always can.
    """

    def __init__(
        self, encode: Callable[..., Any], off_device: Callable[[], None] = lambda: None
    ) -> None:
        self._encode, self._off_device = encode, off_device
        self._signature = inspect.signature(encode)
        self._kept: dict[tuple[Any, ...], Any] = {}
        self._axes: dict[tuple[Any, ...], Any] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Takes and returns what `encode_prompt` does, for a list of prompts."""
        bound = self._signature.bind(*args, **kwargs)
        prompts = bound.arguments.get("prompt")
        if not isinstance(prompts, list) or _holds_tensor(bound.arguments):
            return self._encode(*args, **kwargs)
        texts = {
            name: value
            for name, value in bound.arguments.items()
            if is_text(name) and isinstance(value, list) and len(value) == len(prompts)
        }
        shared = tuple(
            (name, repr(value)) for name, value in bound.arguments.items() if name not in texts
        )
        rows = [dict(zip(texts, row, strict=True)) for row in zip(*texts.values(), strict=True)]
        alone = [self._alone(bound, row, shared) for row in rows]
        if shared not in self._axes:
            self._axes[shared] = _axes(alone[0], self._encoded(bound, rows[0], 2))
        return _join(alone, self._axes[shared])

    def _alone(
        self, bound: inspect.BoundArguments, row: dict[str, str], shared: tuple[Any, ...]
    ) -> Any:
        key = (tuple(row.items()), shared)
        found = self._kept.pop(key) if key in self._kept else self._encoded(bound, row, 1)
        self._kept[key] = found  # the latest last
        if len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return found

    def _encoded(self, bound: inspect.BoundArguments, row: dict[str, str], times: int) -> Any:
        bound.arguments.update({name: [text] * times for name, text in row.items()})
        try:
            return self._encode(*bound.args, **bound.kwargs)
        finally:
            self._off_device()


def _holds_tensor(arguments: dict[str, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in arguments.values())


def _axes(one: Any, two: Any) -> Any:
    """Where the rows are: an axis, None where there are none, "list", or a tuple of these."""
    if isinstance(one, tuple):
        return tuple(map(_axes, one, two))
    if isinstance(one, list):
        return "list"
    if not isinstance(one, Tensor):
        return None
    sizes = zip(one.shape, two.shape, strict=True)
    return next((axis for axis, (a, b) in enumerate(sizes) if b == 2 * a), None)


def _join(parts: Sequence[Any], axes: Any) -> Any:
    """One encoding of several prompts."""
    if isinstance(axes, tuple):
        return tuple(_join([part[i] for part in parts], axis) for i, axis in enumerate(axes))
    if axes == "list":
        return [item for part in parts for item in part]
    first = parts[0]
    if not isinstance(first, Tensor):
        return first
    if any(part.shape != first.shape for part in parts):
        raise RaggedPromptsError
    if axes is None:
        if not all(torch.equal(part, first) for part in parts[1:]):
            raise RaggedPromptsError
        return first
    return torch.cat(list(parts), axes)
