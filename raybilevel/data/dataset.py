"""A data set in memory, and its split into two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raybilevel.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

_LABELS = "iubSU"  # kinds of numpy types: integers, booleans, strings


@dataclass(frozen=True)
class Dataset:
    """Images of one size, with or without labels.

    Attributes
    ----------
    images : (N, C, H, W) float32 in [0, 1]; C is 1 (grey) or 3 (RGB).
    labels : (N,) int64 from 0 to K - 1, or None.
    """

    images: Tensor
    labels: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
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
    import torch

    if len(images) < 2:
        raise InputError(f"{where} must hold at least 2 images, but holds {len(images)}")
    if not images.size:
        raise InputError(f"{where} holds images of shape {images.shape[1:]}, without a pixel")
    indices = None if labels is None else torch.from_numpy(_indices(labels, len(images), where))
    return Dataset(torch.from_numpy(_scaled(images, where)), indices)


def _scaled(images: NDArray[Any], where: str) -> NDArray[np.float32]:
    """float32 in [0, 1], freshly allocated: the only copy that is as large."""
    if images.dtype == np.uint8:
        return np.divide(images, 255, dtype=np.float32, order="C")
    with np.errstate(over="ignore"):
        scaled = images.astype(np.float32, order="C")
    low, high = scaled.min(), scaled.max()
    if not (low >= 0 and high <= 1):  # NaN compares as false
        raise InputError(
            f"{where} holds float images from {low:g} to {high:g}, but they must be in [0, 1]"
        )
    return scaled


def _indices(labels: NDArray[Any], count: int, where: str) -> NDArray[np.int64]:
    if labels.shape != (count,):
        raise InputError(f"{where} has labels of shape {labels.shape}, but must have ({count},)")
    if labels.dtype.kind not in _LABELS:
        raise InputError(
            f"{where} has labels of type {labels.dtype}, but they must be integers or strings"
        )
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
