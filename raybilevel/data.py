"""Data sets by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raybilevel.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

KNOWN = ("digits",)


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Attributes
    ----------
    images : (N, C, H, W) float32 in [0, 1].
    labels : (N,) int64.
    """

    images: Tensor
    labels: Tensor


def load(name: str) -> Dataset:
    """Load the data set `name`.

    "digits": 1,797 handwritten digits, 1 x 8 x 8, bundled with scikit-learn (Alpaydin & Kaynak
    1998, UCI Optical Recognition of Handwritten Digits, its test part).

    Raises
    ------
    InputError
        If no data set has that name.
    """
    if name not in KNOWN:
        raise InputError(f"data is '{name}', but must be one of: {', '.join(KNOWN)}")
    return _digits()


def _digits() -> Dataset:
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.as_tensor(digits.images / 16.0, dtype=torch.float32)
    return Dataset(images[:, None], torch.as_tensor(digits.target, dtype=torch.int64))
