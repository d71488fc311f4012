"""The largest number at which something still holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_HALVINGS = 40


def farthest(enough: Callable[[np.ndarray], np.ndarray], most: np.ndarray) -> np.ndarray:
    """Largest numbers in [0, `most`] that are enough, each by itself, where larger ones are not.

    Parameters
    ----------
    enough : maps numbers like `most` to whether each is.
    """
    low, high = np.zeros_like(most), most
    whole = enough(most)
    if np.all(whole):
        return most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        near = enough(middle)
        low, high = np.where(near, middle, low), np.where(near, high, middle)
    return np.where(whole, most, low)
