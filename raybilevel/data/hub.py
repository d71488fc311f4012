"""Data sets of the Hugging Face hub: images, or the rows of a table; none runs code of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from raybilevel.data.dataset import Dataset
from raybilevel.data.hugging_face import built, datasets_folder, quiet
from raybilevel.data.tables import Columns, of_table
from raybilevel.errors import InputError

_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+", re.ASCII)
_OF_IMAGES = ("Parquet", "ImageFolder", "WebDataset", "Arrow")  # builders that may be asked for
_OF_ROWS = ("Csv", "Json", "Text", "Parquet", "Arrow")
_CACHED = "Cache"  # what was built by one of them, where the hub cannot be reached


def is_hub_name(spec: str) -> bool:
    """Whether it may be `owner/name` of a data set on the hub."""
    return _NAME.fullmatch(spec) is not None


def read_hub(name: str, columns: Columns) -> Dataset:
    """Read a data set of the hub, from the cache where it is there; no code of its own is run."""
    where = f"data '{name}'"
    table = _of_hub(name, where, _OF_IMAGES, "images, parquet, Arrow or WebDataset tars")
    return of_table(table, where, columns)


def read_hub_rows(name: str, where: str) -> list[dict[str, Any]]:
    """Read the rows of a data set of the hub, without images, sounds and other bytes.

    Parameters
    ----------
    where : what sentences call it.

    Raises
    ------
    InputError
        If it is neither cached nor reachable, holds no table, or bytes alone.
    """
    table = _of_hub(name, where, _OF_ROWS, "csv, json, text, parquet or Arrow")
    kept = [field.name for field in table.features.arrow_schema if not _has_bytes(field.type)]
    if not kept:
        raise InputError(f"{where} has but columns of bytes: {', '.join(table.column_names)}")
    columns = table.select_columns(kept).with_format(None)[:]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _has_bytes(kind: Any) -> bool:
    """Whether there are bytes in a type of Arrow: files are structs with them."""
    inner = (kind.field(i).type for i in range(kind.num_fields))
    return "binary" in str(kind) if not kind.num_fields else any(map(_has_bytes, inner))


def _of_hub(name: str, where: str, builders: Sequence[str], wanted: str) -> Any:
    """The table of a data set of the hub, if one of these builders makes it."""
    with quiet(where, "a data set of the Hugging Face hub that is read without code"):
        from datasets import load_dataset_builder

        try:
            builder = load_dataset_builder(name, cache_dir=datasets_folder())
        except (ConnectionError, FileNotFoundError) as error:
            raise InputError(
                f"{where} is no path here, and as a data set of the Hugging Face hub it is neither "
                "cached nor reachable"
            ) from error
        kinds = {kind.__name__ for kind in type(builder).__mro__}
        if kinds.isdisjoint((*builders, _CACHED)):
            raise InputError(f"{where} must be {wanted}")
        return built(builder, where)
