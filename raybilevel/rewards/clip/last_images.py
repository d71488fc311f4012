"""What was computed of the last images, for whoever asks next for the same tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class LastImages:
    """Remembers one result: that of the last tensor, for as long as nobody writes into it.

    Where a gradient is asked for nothing is remembered, as a graph can be gone through once.
    """

    def __init__(self) -> None:
        self._images: weakref.ref[Tensor] | None = None
        self._key: tuple[int, int] | None = None
        self._result: Tensor | None = None

    def get(self, images: Tensor, batch_size: int, compute: Callable[[], Tensor]) -> Tensor:
        """The result of `compute` for these images, in batches of this size."""
        import torch

        if images.is_inference() or (torch.is_grad_enabled() and images.requires_grad):
            return compute()  # torch does not count what is written into inference tensors
        key = (images._version, batch_size)
        same = self._images is not None and self._images() is images and self._key == key
        if not same or self._result is None:
            self._images, self._key, self._result = weakref.ref(images), key, compute()
        return self._result
