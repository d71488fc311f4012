"""What Hugging Face's `datasets` reads of files: parquet, WebDataset tars, and its own folders.

It copies tables and tars to Arrow files below the cache folder, once for all processes of a
machine, and maps those into memory. None of the builders that are asked for unpickles: the
WebDataset one leaves pickles as bytes, and reads npy with `allow_pickle=False` and pth with
`weights_only=True` (datasets 5.2, `packaged_modules/webdataset`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raybilevel.cache import cache_folder
from raybilevel.data.dataset import Dataset, check_count
from raybilevel.data.tables import Columns, of_table
from raybilevel.errors import InputError

_SPLIT = "train"
_SAVED = ("dataset_info.json", "dataset_dict.json")
_LOUD = ("datasets", "huggingface_hub")


def files_in(folder: Path, suffix: str) -> list[Path]:
    """Files of a folder, sorted; those named `train*` alone where there are any."""
    files = sorted(f for f in folder.glob(f"*{suffix}") if not f.name.startswith((".", "_")))
    return [f for f in files if f.name.startswith(_SPLIT)] or files


def has_parquet(folder: Path) -> bool:
    """Whether the folder holds parquet files."""
    return bool(files_in(folder, ".parquet"))


def has_tars(folder: Path) -> bool:
    """Whether the folder holds tars."""
    return bool(files_in(folder, ".tar"))


def is_saved(folder: Path) -> bool:
    """Whether `datasets.save_to_disk` wrote the folder."""
    return any((folder / name).is_file() for name in _SAVED)


def read_parquet(path: Path, columns: Columns) -> Dataset:
    """Read a file, or a folder's files in the order of their names; see `load`."""
    files = files_in(path, ".parquet") if path.is_dir() else [path]
    where, found = f"data '{path}'", [_columns_of(file, columns) for file in files]
    check_count(sum(rows for *_, rows in found), where)  # the builder fails on none
    image, label, _ = found[0]
    for other, (_, its, _) in zip(files, found, strict=True):
        if (its is None) != (label is None):
            without = other if its is None else files[0]
            raise InputError(
                f"data '{without}' must have a column 'label' or 'labels', as other files beside it"
            )
    wanted = [image] if label is None else [image, label]
    with quiet(where, "whole parquet files of one schema"):
        from datasets.packaged_modules.parquet.parquet import Parquet

        builder = Parquet(cache_dir=datasets_folder(), data_files=_exactly(files), columns=wanted)
        table = built(builder, where)
    return of_table(table, where, Columns(image, label))


def _columns_of(file: Path, columns: Columns) -> tuple[str, str | None, int]:
    """The columns of images and of labels, and how many rows there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:  # one file: a table takes folders' names for columns
            names, rows = opened.schema_arrow.names, opened.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"data '{file}' must be a whole parquet file, but: {text}") from error
    where = f"data '{file}'"
    return columns.image_in(names, where), columns.label_in(names, where), rows


def read_tars(path: Path, columns: Columns) -> Dataset:
    """Read WebDataset tars, a file or a folder's; see `load`."""
    files = files_in(path, ".tar") if path.is_dir() else [path]
    where = f"data '{path}'"
    with quiet(where, "WebDataset tars of images, whose files come in groups of one name"):
        from datasets.packaged_modules.webdataset.webdataset import WebDataset

        table = built(WebDataset(cache_dir=datasets_folder(), data_files=_exactly(files)), where)
    return of_table(table, where, columns)


def read_saved(path: Path, columns: Columns) -> Dataset:
    """Read what `datasets.save_to_disk` wrote."""
    where = f"data '{path}'"
    with quiet(where, "a folder of save_to_disk"):
        from datasets import load_from_disk

        table = load_from_disk(str(path))
    if isinstance(table, dict):
        table = table[_split_of(list(table), where)]
    return of_table(table, where, columns)


def built(builder: Any, where: str) -> Any:
    """The table of a builder's split "train", or of the only one."""
    builder.download_and_prepare()
    return builder.as_dataset(_split_of(list(builder.info.splits), where))


def _split_of(names: Sequence[str], where: str) -> str:
    if _SPLIT in names or len(names) == 1:
        return _SPLIT if _SPLIT in names else names[0]
    raise InputError(f"{where} has the splits {', '.join(names)}, but none named '{_SPLIT}'")


def _exactly(files: Sequence[Path]) -> Any:
    """These files, whatever stars are in their names, read anew where they were changed."""
    from datasets.data_files import DataFilesDict, DataFilesList

    states = [file.stat() for file in files]
    marks = [(str(state.st_mtime_ns), str(state.st_size)) for state in states]
    return DataFilesDict({_SPLIT: DataFilesList([str(f.absolute()) for f in files], marks)})


def datasets_folder() -> str | None:
    """Below our own cache folder, unless the user has one for `datasets`."""
    return None if os.environ.get("HF_DATASETS_CACHE") else str(cache_folder() / "datasets")


@contextmanager
def quiet(where: str, right: str) -> Iterator[None]:
    """Without bars and log lines between a run's own; any error in a sentence."""
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    datasets.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # builders raise whatever readers of tars, tables and JSON raise
        text = " ".join(str(error.__cause__ or error).split()).split(". ")[0]  # torch's has advice
        raise InputError(f"{where} must be {right}, but: {text}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if shown:
            datasets.enable_progress_bars()
