"""A table of Hugging Face's `datasets`: which of its columns are the images and the labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raybilevel.data.dataset import Dataset, check_count, indices
from raybilevel.data.encoded import Cells, Content, Encoded
from raybilevel.errors import InputError

IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp")
LABELS = ("label", "labels", "cls", "class", "fine_label")
_BYTES = ("binary", "large_binary")
_OF_LABELS = ("int", "uint", "bool", "string", "large_string")


@dataclass(frozen=True)
class Columns:
    """The columns that a user named; None for those of the usual names.

    Attributes
    ----------
    image, label : `data_options.image_column` and `data_options.label_column`.
    """

    image: str | None = None
    label: str | None = None

    def refuse(self, where: str) -> None:
        """Refuse names where there are no columns."""
        for option, name in (("image_column", self.image), ("label_column", self.label)):
            if name is not None:
                raise InputError(
                    f"data_options.{option} is '{name}', but {where} has no columns; leave it out"
                )

    def image_in(self, names: Sequence[str], where: str) -> str:
        """The column of images among those there are; `InputError` names them if it is none."""
        found = _chosen(self.image, IMAGES, names, "image_column", where)
        if found is None:
            raise InputError(
                f"{where} must have a column '{IMAGES[0]}', but it has {', '.join(names)}; name "
                "the column of images by data_options.image_column"
            )
        return found

    def label_in(self, names: Sequence[str], where: str) -> str | None:
        """The column of labels; None if there is none and none was named."""
        return _chosen(self.label, LABELS, names, "label_column", where)


def _chosen(
    given: str | None, usual: Iterable[str], names: Sequence[str], option: str, where: str
) -> str | None:
    if given is not None and given not in names:
        raise InputError(
            f"data_options.{option} is '{given}', but {where} has the columns {', '.join(names)}"
        )
    return given or next((name for name in usual if name in names), None)


def of_table(table: Any, where: str, columns: Columns) -> Dataset:
    """Make a data set of a `datasets.Dataset`.

    Raises
    ------
    InputError
        If a column is not there or of another type, or there are fewer than two rows.
    """
    table = table.with_format(None)
    image = columns.image_in(table.column_names, where)
    label = columns.label_in(table.column_names, where)
    cells = _undecoded(table, image, where)
    check_count(len(table), where)
    labels = None if label is None else _labels(table, label, where)
    read = partial(_contents, cells, image, where)
    found = Cells(len(cells), read, lambda row: f"data: row {row} of {where.removeprefix('data ')}")
    return Dataset(Encoded(found), indices(labels, len(table), where))


def _undecoded(table: Any, name: str, where: str) -> Any:
    """The column of images alone, as bytes or structs of bytes."""
    from datasets import Image

    table = table.select_columns([name])
    kind = table.features[name]
    if isinstance(kind, Image):
        return table.cast_column(name, Image(decode=False))
    inner = kind.get("bytes") if isinstance(kind, dict) else kind
    if getattr(inner, "dtype", None) not in _BYTES:
        raise InputError(
            f"{where} has a column '{name}' of type {_said(kind)}, but it must be binary, or a "
            "struct with binary 'bytes'"
        )
    return table


def _contents(table: Any, name: str, where: str, rows: Sequence[int]) -> list[Content]:
    found = table[rows][name]
    contents = [cell["bytes"] if isinstance(cell, dict) else cell for cell in found]
    for row, content in zip(rows, contents, strict=True):
        if not content:
            raise InputError(
                f"data: row {row} of {where.removeprefix('data ')} must hold an image's bytes, but "
                "it is empty"
            )
    return contents


def _labels(table: Any, name: str, where: str) -> NDArray[Any]:
    from datasets import ClassLabel, Value

    kind = table.features[name]
    plain = isinstance(kind, ClassLabel) or (
        isinstance(kind, Value) and kind.dtype.rstrip("0123456789") in _OF_LABELS
    )
    labels = table.select_columns([name])[:][name] if plain else []
    empty = sum(label is None for label in labels)
    if not plain or empty:
        raise InputError(
            f"{where} has a column '{name}' of type {_said(kind)} with {empty} empty rows, but it "
            "must be of integers or strings, without empty rows"
        )
    return np.array(labels)


def _said(kind: Any) -> str:
    return str(getattr(kind, "dtype", kind))
