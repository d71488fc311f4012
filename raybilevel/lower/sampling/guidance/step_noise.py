"""The noise of a scheduler's step: what it was, and what it is multiplied by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class NotedNormal(TorchFunctionMode):
    """Keeps what generators give by `torch.randn` while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, and keep what it makes of a generator."""
        made = func(*args, **(kwargs or {}))
        if func is torch.randn and kwargs and kwargs.get("generator") is not None:
            self._made.append(made)
        return made

    def like(self, sample: Tensor) -> Tensor:
        """All of it, a row a sample; zeros where nothing was asked for."""
        return torch.cat(self._made).to(sample) if self._made else torch.zeros_like(sample)


class _Ones(TorchFunctionMode):
    """Gives ones in place of noise while it is entered."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, or give ones of its shape."""
        kwargs = kwargs or {}
        if func is not torch.randn or kwargs.get("generator") is None:
            return func(*args, **kwargs)
        return torch.ones(*args, **{k: v for k, v in kwargs.items() if k != "generator"})


def noise_scale(step: Callable[..., Any], output: Tensor, t: Any, sample: Tensor) -> Tensor:
    """What a step's noise is multiplied by, like the sample: its step of nothing, with ones."""
    nothing = output.detach().clone()
    nothing[:, : sample.shape[1]] = 0.0  # beside it some networks predict their variance
    with _Ones():
        scale: Tensor = step(nothing, t, torch.zeros_like(sample)).prev_sample
    return scale
