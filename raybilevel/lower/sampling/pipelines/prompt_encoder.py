"""Prompts are encoded once, each alone, and kept: the stock call finds them done."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from raybilevel.lower.sampling.pipelines.call import is_text

_MOST_BYTES = 2**30


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
    device : where encodings are wanted; they are kept on the CPU.
    off_device : called after prompts were encoded, to make room.
    most_bytes : that are kept; of more, those that were not asked for the longest are forgotten.

    Raises
    ------
    RaggedPromptsError
        On prompts of a batch that cannot be joined; prompts that are equal always can.
    """

    def __init__(
        self,
        encode: Callable[..., Any],
        device: torch.device,
        off_device: Callable[[], None] = lambda: None,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._encode, self._device, self._off_device = encode, device, off_device
        self._most_bytes, self._bytes = most_bytes, 0
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
        return _moved(_join(alone, self._axes[shared]), self._device)

    def _alone(
        self, bound: inspect.BoundArguments, row: dict[str, str], shared: tuple[Any, ...]
    ) -> Any:
        key = (tuple(row.items()), shared)
        if key in self._kept:
            self._kept[key] = self._kept.pop(key)  # the latest last
            return self._kept[key]
        found = self._kept[key] = self._encoded(bound, row, 1)
        self._bytes += _size(found)
        while self._bytes > self._most_bytes and len(self._kept) > 1:
            self._bytes -= _size(self._kept.pop(next(iter(self._kept))))
        return found

    def _encoded(self, bound: inspect.BoundArguments, row: dict[str, str], times: int) -> Any:
        bound.arguments.update({name: [text] * times for name, text in row.items()})
        try:
            return _moved(self._encode(*bound.args, **bound.kwargs), torch.device("cpu"))
        finally:
            self._off_device()


def _holds_tensor(arguments: dict[str, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in arguments.values())


def _moved(encoding: Any, device: torch.device) -> Any:
    if isinstance(encoding, (tuple, list)):
        return type(encoding)(_moved(part, device) for part in encoding)
    return encoding.to(device) if isinstance(encoding, Tensor) else encoding


def _size(encoding: Any) -> int:
    if isinstance(encoding, (tuple, list)):
        return sum(map(_size, encoding))
    return encoding.nbytes if isinstance(encoding, Tensor) else 0


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
