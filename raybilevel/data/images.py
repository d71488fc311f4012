"""Images that stay as they were found, and become float32 where rows of them are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raybilevel.data.framing import Frame, Shape

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 256  # images that are decoded together


class StoredImages(ABC):
    """Images of one size in memory or on disk; `images[rows]` is a float32 tensor in [0, 1].

    `rows` is a slice or an integer tensor, as for a tensor (N, C, H, W) in the same place.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""

    @abstractmethod
    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Images (n, C, H, W) of some rows (n,): uint8, or floats in [0, 1]."""

    @abstractmethod
    def found(self) -> Counter[Shape]:
        """How many images there are of each shape, before any was changed."""

    def named(self, shape: Shape) -> str:
        """A place where there is an image of a shape that was found, for a sentence."""
        return "every image"

    @property
    def frame(self) -> Frame | None:
        """What images are brought to; None where they are as they were found."""
        return None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        import torch

        chosen = rows if isinstance(rows, slice) else np.asarray(rows)
        return torch.from_numpy(scaled(self.take(np.arange(len(self))[chosen])))


class Pixels(StoredImages):
    """An array (N, C, H, W) of uint8, or of floats in [0, 1], in memory or mapped into it."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        count, channels, height, width = self._array.shape
        return count, channels, height, width

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Images (n, C, H, W) of some rows."""
        return self._array[rows]

    def found(self) -> Counter[Shape]:
        """How many there are of each shape."""
        return Counter({self.shape[1:]: len(self)})


class Framed(StoredImages):
    """Images of one shape that are brought to another."""

    def __init__(self, images: Tensor | StoredImages, frame: Frame) -> None:
        self._images, self._frame = images, frame

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return (len(self._images), *self._frame.shape)

    @property
    def frame(self) -> Frame:
        """What they are brought to."""
        return self._frame

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Images (n, C, H, W) of some rows."""
        if isinstance(self._images, StoredImages):
            raw = self._images.take(rows)
        else:
            raw = self._images[rows].numpy()
        return np.stack([self._frame.of_array(image) for image in raw])

    def found(self) -> Counter[Shape]:
        """How many there are of each shape."""
        _, channels, height, width = self._images.shape
        return Counter({(channels, height, width): len(self._images)})


class Subset(StoredImages):
    """Some rows of other images."""

    def __init__(self, images: StoredImages, rows: NDArray[np.int64]) -> None:
        self._images, self._rows = images, rows

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return (len(self._rows), *self._images.shape[1:])

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Images (n, C, H, W) of some rows."""
        return self._images.take(self._rows[rows])

    def found(self) -> Counter[Shape]:
        """Of all images, those left out too."""
        return self._images.found()

    def named(self, shape: Shape) -> str:
        """Where one of a shape is."""
        return self._images.named(shape)

    @property
    def frame(self) -> Frame | None:
        """What they are brought to."""
        return self._images.frame


def held(images: Tensor | StoredImages, most: int | None = None) -> Tensor | StoredImages:
    """The same images, each decoded once and kept in memory: uint8, unless floats were found.

    Parameters
    ----------
    most : bytes; images that would take more stay as they are.
    """
    if not isinstance(images, StoredImages):
        return images
    first = images.take(np.arange(1))
    if most is not None and len(images) * first.nbytes > most:
        return images
    array = np.empty(images.shape, first.dtype)
    for start in range(0, len(images), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(images)))
        array[rows] = images.take(rows)
    return Pixels(array)


def scaled(array: NDArray[Any]) -> NDArray[np.float32]:
    """float32 in [0, 1], freshly allocated."""
    if array.dtype == np.uint8:
        return np.divide(array, 255, dtype=np.float32, order="C")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, order="C")
