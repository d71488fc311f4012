"""npz and npy, numpy's archives of arrays and files of one."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raybilevel.data.dataset import Dataset, from_arrays
from raybilevel.data.tables import Columns
from raybilevel.errors import InputError

_CHANNELS = (1, 3)
_PAIRS = (("images", "labels"), ("arr_0", "arr_1"))  # the latter as guided-diffusion saves samples


def read(path: Path, columns: Columns) -> Dataset:
    """Read the arrays of images, and of labels where there is one; see `raybilevel.data.load`.

    Raises
    ------
    InputError
        If the file is no npz, has no such array, holds objects, or images of another type or shape.
    """
    with _opened(path) as archive:
        image, label = _names(archive.files, path, columns)
        images = _array(archive, image, path)
        labels = None if label is None else _array(archive, label, path)
    return from_arrays(_channels_first(images, path), labels, f"data '{path}'")


def _names(held: list[str], path: Path, columns: Columns) -> tuple[str, str | None]:
    """Which arrays are the images and the labels."""
    for option, name in (("image_column", columns.image), ("label_column", columns.label)):
        if name is not None and name not in held:
            raise InputError(
                f"data_options.{option} is '{name}', but data '{path}' holds {', '.join(held)}"
            )
    image, label = next((pair for pair in _PAIRS if pair[0] in held), ("", ""))
    image = columns.image or image
    if not image:
        raise InputError(
            f"data '{path}' must hold an array 'images', but it holds "
            f"{', '.join(held) or 'nothing'}; name that of images by data_options.image_column"
        )
    return image, columns.label or (label if label in held else None)


def read_npy(path: Path, columns: Columns) -> Dataset:
    """Read a file of images, mapped into memory, and perhaps the labels beside it.

    Raises
    ------
    InputError
        As `read` does.
    """
    columns.refuse(f"data '{path}'")
    beside = path.with_name(path.name.replace("images", "labels"))
    labels = _mapped(beside) if beside != path and beside.is_file() else None
    return from_arrays(_channels_first(_mapped(path), path), labels, f"data '{path}'")


def _mapped(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(
            f"data '{path}' must be a whole npy file of numbers, since nothing is unpickled, but: "
            f"{' '.join(str(error).split())}"
        ) from error


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
