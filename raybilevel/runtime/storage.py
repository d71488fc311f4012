"""A run directory on any file system that pyarrow reaches: local paths, `s3://`, `gs://`.

Object stores have no rename, so nothing is ever moved into place.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raybilevel.errors import InputError, StorageError

FAILED = "error.txt"
"""Written by a detached driver that failed: what ended it, and its traceback."""

BEGUN = "driver.json"
"""Written by whoever starts a driver: its name, and the cluster that it is on."""


def absolute(storage_path: str) -> str:
    """The path as every process understands it, whatever directory it runs in."""
    if "://" in storage_path:
        return storage_path.rstrip("/")
    return str(Path(storage_path).expanduser().resolve())


def describe(error: OSError) -> str:
    """The operating system's word for an error, or the error's own text."""
    lines = str(error).splitlines() or [type(error).__name__]
    return os.strerror(error.errno) if error.errno else lines[0]


class RunDirectory:
    """Reads and writes files below one run's directory.

    Parameters
    ----------
    storage_path : a local path or a URI that `pyarrow.fs.FileSystem.from_uri` reads.
    name : the run's folder below it.
    """

    def __init__(self, storage_path: str, name: str) -> None:
        self.storage_path, self.name = storage_path, name
        uri = storage_path if "://" in storage_path else Path(absolute(storage_path)).as_uri()
        from pyarrow import ArrowInvalid, fs

        try:
            self._fs, base = fs.FileSystem.from_uri(uri)
        except ArrowInvalid as error:
            raise InputError(f"run.storage_path is '{storage_path}', but {error}") from None
        self.root = f"{base.rstrip('/')}/{name}"

    @classmethod
    def at(cls, path: str) -> RunDirectory:
        """The run directory at `path`, which ends in the run's name."""
        storage_path, _, name = path.rstrip("/").rpartition("/")
        return cls(storage_path or ".", name)

    def below(self, folder: str, name: str) -> RunDirectory:
        """The directory `name` in a folder of this one."""
        base, question, options = self.storage_path.partition("?")
        return RunDirectory(f"{base.rstrip('/')}/{self.name}/{folder}{question}{options}", name)

    @property
    def remote(self) -> Any:
        """The pyarrow file system where it is not the local one, in which `root` is; else None."""
        return self._fs if "://" in self.storage_path else None

    @property
    def path(self) -> str:
        """Where the run is, as the user would write it."""
        if "://" in self.storage_path:
            return f"{self.storage_path.split('?')[0].rstrip('/')}/{self.name}"
        return self.root

    def exists(self) -> bool:
        """Whether the run has begun: its `config.yaml` is written first."""
        return self.has("config.yaml")

    def has(self, file: str) -> bool:
        """Whether `file` is there."""
        with self._answering(f"looking for {file} in"):
            return bool(self._fs.get_file_info(f"{self.root}/{file}").is_file)

    def write(self, file: str, data: bytes) -> None:
        """Write `data`, making folders as needed; `StorageError` where that fails."""
        target = f"{self.root}/{file}"
        with self._answering(f"writing {file} to"):
            self._fs.create_dir(target.rpartition("/")[0], recursive=True)
            with self._fs.open_output_stream(target) as stream:
                stream.write(data)

    @contextmanager
    def _answering(self, doing: str, may_miss: bool = False) -> Iterator[None]:
        """`StorageError` in place of what the file system raises."""
        try:
            yield
        except OSError as error:
            if may_miss and isinstance(error, FileNotFoundError):
                raise
            raise StorageError(
                f"{doing} {self.path} failed ({describe(error)}); make room or give another "
                "run.storage_path"
            ) from error

    def try_out(self) -> None:
        """Find what whoever began the run wrote, and write too, from where this process is.

        Raises
        ------
        InputError
            If this machine sees another folder than the one that the run was begun in.
        StorageError
            If it may not write there.
        """
        if not self.has(BEGUN):
            raise InputError(
                f"run.storage_path is {self.storage_path}, but {socket.gethostname()}, where the "
                f"run's driver is, does not see {self.path}/{BEGUN}; give a path that all nodes "
                "share, such as s3://... or gs://..."
            )
        self.write("probe", b"")
        self.delete("probe")

    def read(self, file: str) -> bytes:
        """The bytes of `file`; `FileNotFoundError` where there is none."""
        with (
            self._answering(f"reading {file} in", may_miss=True),
            self._fs.open_input_stream(f"{self.root}/{file}") as stream,
        ):
            return bytes(stream.read())

    def list(self, folder: str) -> list[str]:
        """Names in `folder`, sorted; empty where there is no such folder."""
        from pyarrow import fs

        selector = fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True)
        with self._answering(f"listing {folder} in"):
            return sorted(info.base_name for info in self._fs.get_file_info(selector))

    def delete(self, file: str) -> None:
        """Delete one file."""
        with self._answering(f"deleting {file} in"):
            self._fs.delete_file(f"{self.root}/{file}")

    def delete_folder(self, folder: str) -> None:
        """Delete a folder and all in it."""
        with self._answering(f"deleting {folder} in"):
            self._fs.delete_dir(f"{self.root}/{folder}")

    def upload(self, source: Path) -> None:
        """Copy all files below the local folder `source` into the run's directory."""
        for file in sorted(source.rglob("*")):
            if file.is_file():
                self.write(file.relative_to(source).as_posix(), file.read_bytes())

    def read_frame(self, file: str) -> Any:
        """A parquet file as a pandas frame."""
        from pyarrow import BufferReader, parquet

        return parquet.read_table(BufferReader(self.read(file))).to_pandas()

    def write_frame(self, file: str, frame: Any) -> None:
        """A pandas frame as a parquet file."""
        buffer = io.BytesIO()
        frame.to_parquet(buffer)
        self.write(file, buffer.getvalue())

    def read_table(self, name: str) -> Any:
        """All parts of a table as one pandas frame."""
        import pandas as pd

        parts = [self.read_frame(f"{name}/{part}") for part in self.list(name)]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
