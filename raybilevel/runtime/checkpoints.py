"""Checkpoints: safetensors, parquet, JSON, and a manifest written last.

A checkpoint is a fresh folder whose `MANIFEST.json` (sizes, sha256) is written last: without a
valid one it does not exist.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.problems.base import Arrays
from raybilevel.runtime.storage import RunDirectory

_KEPT = 3  # checkpoints: the newest, and two to fall back on


@dataclass(frozen=True)
class Checkpoint:
    """What was read back: the state with its tables whole, and the run's record."""

    state: Arrays
    record: dict[str, Any]
    skipped: tuple[str, ...]
    """A sentence for each newer checkpoint that could not be used."""


class Checkpoints:
    """Writes and reads the checkpoints of one run.

    The rows that a table gained since the last checkpoint are written as a part of their own, and
    the manifest names every part so far.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._parts: dict[str, list[dict[str, Any]]] = {}

    def write(self, state: Arrays, record: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Write the checkpoint of `record["round"]` and the history's new `rows`.

        Where that failed it may be tried again: what was written is left as it is.
        """
        number = f"{record['round']:06d}"
        tables, plain = _split(state)
        for table, columns in tables.items():
            self._write_part(table, number, columns, self._rows_of(table))
            if table not in self._parts:  # a table without rows has no part to be read from
                plain |= {f"{table}/{name}": column for name, column in columns.items()}
        if rows:
            self._write_part("history", number, _columns(rows), 0)
        folder = f"checkpoints/{number}"
        files = {
            f"{folder}/state.safetensors": _to_safetensors(plain),
            f"{folder}/record.json": json.dumps(record).encode(),
        }
        for file, data in files.items():
            self._directory.write(file, data)
        manifest = {
            "files": [_entry(file, data) for file, data in files.items()],
            "parts": self._parts,
        }
        self._directory.write(f"{folder}/MANIFEST.json", json.dumps(manifest).encode())
        for old in self._directory.list("checkpoints")[:-_KEPT]:
            self._directory.delete_folder(f"checkpoints/{old}")

    def _rows_of(self, table: str) -> int:
        return sum(int(part["rows"]) for part in self._parts.get(table, []))

    def _write_part(self, table: str, number: str, columns: Arrays, start: int) -> None:
        new = {name: column[start:] for name, column in columns.items()}
        size = len(next(iter(new.values())))
        if size:
            file, data = f"{table}/part-{number}.parquet", _to_parquet(new)
            self._directory.write(file, data)
            others = [part for part in self._parts.get(table, []) if part["file"] != file]
            self._parts[table] = [*others, {**_entry(file, data), "rows": size}]

    def recover(self) -> Checkpoint | None:
        """`read`, and delete what a lost driver left after it: for the one that writes from now on.

        Raises
        ------
        InputError
            What `read` raises.
        """
        checkpoint = self.read()
        if checkpoint is not None:
            self._delete_after(f"{checkpoint.record['round']:06d}")
        return checkpoint

    def read(self) -> Checkpoint | None:
        """The newest checkpoint that is whole; None where there is none at all.

        Raises
        ------
        InputError
            If there are checkpoints, but none is whole.
        """
        skipped: list[str] = []
        for number in reversed(self._directory.list("checkpoints")):
            try:
                return self._read(number, skipped)
            except (FileNotFoundError, _BrokenError) as error:
                skipped.append(f"checkpoint {number} is not whole ({error}); using the one before")
        if skipped:
            raise InputError(
                f"no checkpoint in {self._directory.path} is whole ({skipped[0]}); start again "
                "under another run.name"
            )
        return None

    def _read(self, number: str, skipped: list[str]) -> Checkpoint:
        folder = f"checkpoints/{number}"
        if not self._directory.has(f"{folder}/MANIFEST.json"):
            raise _BrokenError("it has no MANIFEST.json")
        try:
            manifest = json.loads(self._directory.read(f"{folder}/MANIFEST.json"))
        except ValueError:
            raise _BrokenError("its MANIFEST.json is cut short") from None
        files = {entry["file"]: self._verified(entry) for entry in manifest["files"]}
        state = _from_safetensors(files[f"{folder}/state.safetensors"])
        self._parts = manifest["parts"]
        for table, parts in self._parts.items():
            if table != "history":
                state |= _join(table, [self._verified(part) for part in parts])
        return Checkpoint(state, json.loads(files[f"{folder}/record.json"]), tuple(skipped))

    def _verified(self, entry: dict[str, Any]) -> bytes:
        data = self._directory.read(entry["file"])
        if _entry(entry["file"], data)["sha256"] != entry["sha256"]:
            raise _BrokenError(f"{entry['file']} has {len(data)} of {entry['size']} right bytes")
        return data

    def _delete_after(self, number: str) -> None:
        """Delete what a lost driver left behind: it is written again, into fresh folders."""
        for later in self._directory.list("checkpoints"):
            if later > number:
                self._directory.delete_folder(f"checkpoints/{later}")
        for table, parts in self._parts.items():
            known = {part["file"] for part in parts}
            for name in self._directory.list(table):
                if f"{table}/{name}" not in known:
                    self._directory.delete(f"{table}/{name}")


class _BrokenError(Exception):
    """A checkpoint is not whole."""


def _entry(file: str, data: bytes) -> dict[str, Any]:
    return {"file": file, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _split(state: Arrays) -> tuple[dict[str, Arrays], Arrays]:
    """A state's tables, by name, and its other arrays."""
    tables: dict[str, Arrays] = {}
    plain: Arrays = {}
    for key, value in state.items():
        table, _, column = key.partition("/")
        if column:
            tables.setdefault(table, {})[column] = value
        else:
            plain[key] = value
    return tables, plain


def _columns(rows: list[dict[str, Any]]) -> Arrays:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _to_safetensors(arrays: Arrays) -> bytes:
    from safetensors.numpy import save

    return bytes(save({name: np.asarray(a, order="C") for name, a in arrays.items()}))


def _from_safetensors(data: bytes) -> Arrays:
    from safetensors.numpy import load

    return dict(load(data))


def _to_parquet(columns: Arrays) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({name: pa.array(c) for name, c in columns.items()}), sink)
    return bytes(sink.getvalue())


def _join(table: str, parts: list[bytes]) -> Arrays:
    import pyarrow as pa
    from pyarrow import parquet

    frame = pa.concat_tables([parquet.read_table(pa.BufferReader(part)) for part in parts])
    return {f"{table}/{name}": frame.column(name).to_numpy() for name in frame.column_names}
