"""Images with or without labels, and their split into two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from raybilevel.data.framing import Shape
from raybilevel.data.images import Pixels, StoredImages, Subset, scaled
from raybilevel.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Images: TypeAlias = "Tensor | StoredImages"
_LABELS = "iubSU"  # kinds of numpy types: integers, booleans, strings
_AT_ONCE = 4096  # images whose floats are looked at together


@dataclass(frozen=True)
class Dataset:
    """Images of one size, with or without labels.

    Attributes
    ----------
    images : (N, C, H, W); C is 1 (grey) or 3 (RGB). `len(images)`, `images.shape`, and
        `images[rows]`, a float32 tensor in [0, 1], decoded and resized only there where images are
        in files or tables; all of them are `images[:]`.
    labels : (N,) int64 from 0 to K - 1, or None.
    """

    images: Images
    labels: Tensor | None = None

    @property
    def shape(self) -> Shape:
        """(C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width


def folds(dataset: Dataset, held_out: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Split at random into (train, held out), the same way each time for the same seed.

    Parameters
    ----------
    dataset : at least 2 images.
    held_out : the fraction held out, in (0, 1); rounded up to whole images, but one is left.
    seed : of the permutation.

    Raises
    ------
    InputError
        If `held_out` is not in (0, 1).
    """
    import torch

    if not 0 < held_out < 1:
        raise InputError(f"held_out is {held_out}, but must be above 0 and below 1")
    count = len(dataset.images)
    # 0.1 * 30 is 3.0000000000000004, which means 3.
    size = min(math.ceil(held_out * count - 1e-9), count - 1)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return _part(dataset, order[size:]), _part(dataset, order[:size])


def _part(dataset: Dataset, rows: Tensor) -> Dataset:
    labels = None if dataset.labels is None else dataset.labels[rows]
    if isinstance(dataset.images, StoredImages):
        return Dataset(Subset(dataset.images, rows.numpy()), labels)
    return Dataset(dataset.images[rows], labels)


def from_arrays(images: NDArray[Any], labels: NDArray[Any] | None, where: str) -> Dataset:
    """Make a data set of what a file held.

    Parameters
    ----------
    images : (N, C, H, W) uint8, or float in [0, 1].
    labels : (N,) integers or strings, or None.
    where : begins the sentence of an error.

    Raises
    ------
    InputError
        If there are fewer than 2 images, or no pixels, floats outside [0, 1], or labels of another
        shape or kind.
    """
    check_count(len(images), where)
    if not images.size:
        raise InputError(f"{where} holds images of shape {images.shape[1:]}, without a pixel")
    _check_range(images, where)
    return Dataset(Pixels(images), indices(labels, len(images), where))


def check_count(count: int, where: str) -> None:
    """Refuse fewer images than two."""
    if count < 2:
        raise InputError(f"{where} must hold at least 2 images, but holds {count}")


def _check_range(images: NDArray[Any], where: str) -> None:
    if images.dtype == np.uint8:
        return
    parts = (scaled(images[i : i + _AT_ONCE]) for i in range(0, len(images), _AT_ONCE))
    ends = np.array([(part.min(), part.max()) for part in parts])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    if not (low >= 0 and high <= 1):  # NaN compares as false
        raise InputError(
            f"{where} holds float images from {low:g} to {high:g}, but they must be in [0, 1]"
        )


def indices(labels: NDArray[Any] | None, count: int, where: str) -> Tensor | None:
    """Labels (N,) as 0 to K - 1 in their sorted order; `InputError` if they are no labels."""
    import torch

    if labels is None:
        return None
    if labels.shape != (count,):
        raise InputError(f"{where} has labels of shape {labels.shape}, but must have ({count},)")
    if labels.dtype.kind not in _LABELS:
        raise InputError(
            f"{where} has labels of type {labels.dtype}, but they must be integers or strings"
        )
    return torch.from_numpy(np.unique(labels, return_inverse=True)[1].astype(np.int64))
