"""Tables as people keep them, read column by column: parquet, csv, jsonl."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError

if TYPE_CHECKING:
    import pyarrow

_TOO_LARGE = 1e60  # products of four are finite

Choose = Callable[[Sequence[str]], list[str]]
"""Which of the columns that there are to read; `InputError` where one is wanting."""


@contextmanager
def reading(named: str, wanted: str) -> Iterator[None]:
    """Say in a sentence what cannot be read, and what would be right."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, csv.Error) as error:  # what json and pyarrow raise is one of them
        said = " ".join(str(error).split())
        raise InputError(f"{named} cannot be read ({said}); {wanted}") from error


def read_columns(path: Path, texts: Sequence[str], choose: Choose) -> pyarrow.Table:
    """The columns of a table that `choose` names, in its order.

    Parameters
    ----------
    texts : columns that are texts in csv, whatever they look like.

    Raises
    ------
    ValueError, OSError
        If the file is no such table.
    """
    read = READERS.get(path.suffix)
    if read is None:
        raise ValueError(f"its name ends in '{path.suffix}'")
    return read(path, texts, choose)


def _parquet(path: Path, texts: Sequence[str], choose: Choose) -> pyarrow.Table:
    import pyarrow
    from pyarrow import parquet

    with (
        pyarrow.OSFile(str(path)) as local,
        parquet.ParquetFile(local) as file,
    ):  # by a path: no URI
        return file.read(columns=choose(file.schema_arrow.names))


def _csv(path: Path, texts: Sequence[str], choose: Choose) -> pyarrow.Table:
    import pyarrow
    from pyarrow import csv as arrow_csv

    parse = arrow_csv.ParseOptions(newlines_in_values=True)
    with arrow_csv.open_csv(path, parse_options=parse) as file:
        chosen = choose(file.schema.names)
    convert = arrow_csv.ConvertOptions(
        include_columns=chosen, column_types=dict.fromkeys(texts, pyarrow.string())
    )
    return arrow_csv.read_csv(path, parse_options=parse, convert_options=convert)


def _jsonl(path: Path, texts: Sequence[str], choose: Choose) -> pyarrow.Table:
    from pyarrow import json

    table = json.read_json(path)
    return table.select(choose(table.column_names))


READERS: dict[str, Callable[[Path, Sequence[str], Choose], Any]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _jsonl,
}


def numbers(table: pyarrow.Table, name: str, named: str) -> np.ndarray:
    """A column (n,) as float64.

    Raises
    ------
    InputError
        If one is not there, no number, not finite or too large, naming row and column.
    """
    import pyarrow

    column, kinds = table[name], pyarrow.types
    kind = column.type
    of_numbers = (kinds.is_floating, kinds.is_integer, kinds.is_boolean, kinds.is_decimal)
    if not kinds.is_null(kind) and not any(is_one(kind) for is_one in of_numbers):
        _refuse_texts(column.to_pylist(), name, named)
    values = np.asarray(column.cast(pyarrow.float64(), safe=False).to_numpy())  # large ones rounded
    bad = np.flatnonzero(~(np.abs(values) < _TOO_LARGE))
    if bad.size:
        raise InputError(
            f"{named} has {values[bad[0]]} in row {bad[0] + 1} of the column '{name}'; give a "
            f"finite number, below {_TOO_LARGE:g} in size, in every row, or leave the row out"
        )
    return values


def _refuse_texts(values: Sequence[Any], name: str, named: str) -> None:
    row = next((i for i, value in enumerate(values) if not _is_number(value)), 0)
    raise InputError(
        f"{named} has {values[row]!r} in row {row + 1} of the column '{name}'; it must hold numbers"
    )


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def names(table: pyarrow.Table, name: str, named: str) -> tuple[list[Any], np.ndarray]:
    """A column's distinct texts or whole numbers, as they come, and each row's place in them (n,).

    Raises
    ------
    InputError
        If one is not there, or is something else, naming row and column.
    """
    import pyarrow

    column = table[name]
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise InputError(f"{named} has no {name} in row {row + 1}; give one in every row")
    kinds = pyarrow.types
    if not any(k(column.type) for k in (kinds.is_string, kinds.is_large_string, kinds.is_integer)):
        raise InputError(
            f"{named} has {column.type} in the column '{name}'; it must hold texts or whole numbers"
        )
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)
