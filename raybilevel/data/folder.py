"""A folder of image files, with or without sub-folders for classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from raybilevel.data.dataset import Dataset, check_count, indices
from raybilevel.data.encoded import Cells, Encoded
from raybilevel.data.pictures import KINDS, SUFFIXES
from raybilevel.data.tables import Columns
from raybilevel.errors import InputError


def read(folder: Path, columns: Columns) -> Dataset:
    """Read the images of a folder, or of its sub-folders; see `raybilevel.data.load`.

    Raises
    ------
    InputError
        If there are no images, or both images and sub-folders, or a sub-folder has no images.
    """
    columns.refuse(f"data '{folder}'")
    files, classes = _images_in(folder), _folders_in(folder)
    if files and classes:
        raise InputError(
            f"data '{folder}' must hold either images or sub-folders of images, but it holds both "
            f"'{files[0].name}' and the sub-folder '{classes[0].name}'"
        )
    if not files and not classes:
        raise InputError(
            f"data '{folder}' must hold {KINDS}, or idx, parquet or tar files, but has none"
        )
    labels = None
    if classes:
        files, labels = _by_class(classes)
    where = f"data '{folder}'"
    check_count(len(files), where)
    cells = Cells(
        len(files), lambda rows: [files[r] for r in rows], lambda row: f"data '{files[row]}'"
    )
    given = None if labels is None else np.array(labels)
    return Dataset(Encoded(cells), indices(given, len(files), where))


def _by_class(classes: list[Path]) -> tuple[list[Path], list[str]]:
    """Files of all sub-folders, and each file's sub-folder's name."""
    held = {folder: _images_in(folder) for folder in classes}
    for folder, files in held.items():
        if not files:  # a class without images, or a folder above the one that was meant
            raise InputError(f"data: the sub-folder '{folder}' must hold {KINDS}, but has none")
    files = [file for folder in classes for file in held[folder]]
    return files, [file.parent.name for file in files]


def _images_in(folder: Path) -> list[Path]:
    return [f for f in _seen(folder) if f.suffix.lower() in SUFFIXES and not f.is_dir()]


def _folders_in(folder: Path) -> list[Path]:
    return [f for f in _seen(folder) if f.is_dir()]


def _seen(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without what systems hide there (.DS_Store, __MACOSX)."""
    return sorted(f for f in folder.iterdir() if not f.name.startswith((".", "__")))
