"""Parquet tables of encoded images, as Hugging Face's `datasets` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raybilevel.data.dataset import Dataset, from_arrays
from raybilevel.data.pictures import stacked
from raybilevel.errors import InputError

_BATCH = 256  # rows that are held encoded while they are decoded


def is_in(folder: Path) -> bool:
    """Whether the folder holds parquet files."""
    return bool(_files(folder))


def read(path: Path) -> Dataset:
    """Read a file, or a folder's files in the order of their names; see `raybilevel.data.load`.

    Raises
    ------
    InputError
        If a file is damaged or has no column `image` of bytes, a row has no image or label, or
        only some files have labels.
    """
    files = _files(path) if path.is_dir() else [path]
    images = stacked(image for file in files for image in _images(file))
    return from_arrays(images, _labels(files), f"data '{path}'")


def _files(folder: Path) -> list[Path]:
    files = sorted(f for f in folder.glob("*.parquet") if not f.name.startswith((".", "_")))
    return [f for f in files if f.name.startswith("train")] or files


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open a file (as one file: a reader of tables would take folders' names for columns)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            yield table
    except (pa.ArrowException, OSError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"data '{file}' must be a whole parquet file, but: {text}") from error


def _images(file: Path) -> Iterator[tuple[str, bytes]]:
    """(Where it is, its bytes) of each image."""
    with _opened(file) as table:
        _check_column(file, table.schema_arrow)
        batches = table.iter_batches(_BATCH, columns=["image"])
        cells = (cell for batch in batches for cell in batch.column(0).to_pylist())
        for row, cell in enumerate(cells):
            data = cell["bytes"] if isinstance(cell, dict) else cell
            where = f"data: row {row} of '{file}'"
            if not data:
                raise InputError(f"{where} must hold an image's bytes, but it is empty")
            yield where, data


def _check_column(file: Path, schema: Any) -> None:
    import pyarrow as pa

    if "image" not in schema.names:
        held = ", ".join(schema.names)
        raise InputError(f"data '{file}' must have a column 'image', but it has {held}")
    kind = schema.field("image").type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise InputError(
            f"data '{file}' has a column 'image' of type {kind}, but it must be binary, "
            "or a struct with binary 'bytes'"
        )


def _labels(files: list[Path]) -> NDArray[Any] | None:
    columns = [_label_column(file) for file in files]
    labels = [column for column in columns if column is not None]
    if not labels:
        return None
    if len(labels) < len(files):
        without = files[next(i for i, column in enumerate(columns) if column is None)]
        raise InputError(
            f"data '{without}' must have a column 'label' or 'labels', as other files beside it"
        )
    return np.concatenate(labels)


def _label_column(file: Path) -> NDArray[Any] | None:
    import pyarrow as pa

    with _opened(file) as table:
        name = next((n for n in ("label", "labels") if n in table.schema_arrow.names), None)
        if name is None:
            return None
        column = table.read([name]).column(0)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    of_type = (
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_large_string,
    )
    if column.null_count or not any(is_it(kind) for is_it in of_type):
        raise InputError(
            f"data '{file}' has a column '{name}' of type {kind} with {column.null_count} empty "
            "rows, but it must be of integers or strings, without empty rows"
        )
    return np.array(column.to_pylist())
