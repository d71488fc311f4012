"""idx, the format of MNIST: http://yann.lecun.com/exdb/mnist, "FILE FORMATS"."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raybilevel.data.dataset import Dataset, from_arrays
from raybilevel.data.tables import Columns
from raybilevel.errors import InputError

_GZIP = b"\x1f\x8b"


def is_in(folder: Path) -> bool:
    """Whether the folder holds idx files of images."""
    return bool(_image_files(folder))


def read(path: Path, columns: Columns) -> Dataset:
    """Read a file of images with the labels beside it, or a folder with one; see `load`.

    Raises
    ------
    InputError
        If a folder holds several such files, or a file is no idx file of bytes, or damaged.
    """
    columns.refuse(f"data '{path}'")
    file = _chosen(path) if path.is_dir() else path
    images = _array(file, dimensions=3)
    beside = _labels_beside(file)
    labels = None if beside is None else _array(beside, dimensions=1)
    return from_arrays(images[:, None], labels, f"data '{file}'")


def _image_files(folder: Path) -> list[Path]:
    """One path a data set: a file that is there both gzipped and not counts once."""
    ends = ("ubyte", "ubyte.gz")
    found = [f for f in sorted(folder.glob("[!.]*")) if "images" in f.name and f.is_file()]
    found = [f for f in found if f.name.endswith(ends)]
    return [f for f in found if f.suffix != ".gz" or f.with_suffix("") not in found]


def _chosen(folder: Path) -> Path:
    files = _image_files(folder)
    files = [f for f in files if "train" in f.name] or files
    if len(files) > 1:
        names = ", ".join(f.name for f in files)
        raise InputError(f"data is '{folder}', but it holds {names}: give the path of one of them")
    return files[0]


def _labels_beside(file: Path) -> Path | None:
    name = file.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    candidates = (file.with_name(name), file.with_name(name + ".gz"))
    # A name without "images" would lead back to the images.
    return next((c for c in candidates if c != file and c.is_file()), None)


def _array(file: Path, dimensions: int) -> NDArray[np.uint8]:
    data = _content(file)
    magic, start = bytes((0, 0, 8, dimensions)), 4 + 4 * dimensions
    begins = data[:start].tobytes()
    if begins[:4] != magic or len(begins) < start:
        raise InputError(
            f"data '{file}' starts with '{begins[:4].hex(' ')}', but an idx file of "
            f"{'images' if dimensions == 3 else 'labels'} starts with '{magic.hex(' ')}' and "
            f"{dimensions} sizes"
        )
    sizes = struct.unpack(f">{dimensions}I", begins[4:])
    promised, held = math.prod(sizes), len(data) - start
    if promised != held or not held:
        shape = " x ".join(map(str, sizes))
        raise InputError(
            f"data '{file}' holds {held} bytes, but its header promises {shape}: "
            "it must be a whole file"
        )
    return data[start:].reshape(sizes)


def _content(file: Path) -> NDArray[np.uint8]:
    """Bytes of a file, unzipped where they are zipped, whatever the file's name says."""
    with file.open("rb") as opened:
        begins = opened.read(2)
    if not begins:
        return np.empty(0, np.uint8)
    if begins != _GZIP:
        return np.memmap(file, np.uint8, "r")
    try:
        return np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"data '{file}' must be a whole gzip file, but: {error}") from error
