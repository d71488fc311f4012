"""npz, numpy's archive of arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raybilevel.data.dataset import Dataset, from_arrays
from raybilevel.errors import InputError

_CHANNELS = (1, 3)


def read(path: Path) -> Dataset:
    """Read `images` and perhaps `labels`; see `raybilevel.data.load`.

    Raises
    ------
    InputError
        If the file is no npz, has no `images`, holds objects, or images of another type or shape.
    """
    with _opened(path) as archive:
        if "images" not in archive.files:
            held = ", ".join(archive.files) or "nothing"
            raise InputError(f"data '{path}' must hold an array 'images', but it holds {held}")
        images = _array(archive, "images", path)
        labels = _array(archive, "labels", path) if "labels" in archive.files else None
    return from_arrays(_channels_first(images, path), labels, f"data '{path}'")


def _opened(path: Path) -> Any:
    try:
        # What is no zip file numpy takes for a pickle, and says so.
        if zipfile.is_zipfile(path):
            return np.load(path, allow_pickle=False)
    except zipfile.BadZipFile:
        pass
    raise InputError(f"data '{path}' must be an npz archive, but it is not a whole zip file")


def _array(archive: Any, name: str, path: Path) -> NDArray[Any]:
    try:
        array = archive[name]
    except Exception as error:  # a damaged member raises whatever zipfile, zlib and numpy raise
        raise InputError(
            f"data '{path}': array '{name}' must be whole and of plain numbers or strings, "
            f"since nothing is unpickled, but: {error}"
        ) from error
    if not isinstance(array, np.ndarray):  # numpy gives the bytes of a member that is no array
        raise InputError(f"data '{path}': '{name}' must be an array, but is another kind of file")
    return array


def _channels_first(images: NDArray[Any], path: Path) -> NDArray[Any]:
    """View as (N, C, H, W); C, wherever it stands, is what is 1 or 3."""
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise InputError(
            f"data '{path}' has images of type {images.dtype}, but they must be uint8, "
            "or float in [0, 1]"
        )
    if images.ndim == 3:
        return images[:, None]
    last = images.ndim == 4 and images.shape[3] in _CHANNELS
    first = images.ndim == 4 and images.shape[1] in _CHANNELS
    if last == first:
        raise InputError(
            f"data '{path}' has images of shape {images.shape}, but it must be (N, H, W), "
            "(N, H, W, C) or (N, C, H, W) with C, and not H or W in its place, 1 or 3"
        )
    return np.moveaxis(images, 3, 1) if last else images
