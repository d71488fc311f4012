"""What is drawn: prompts or class labels, from a list, a text file or a table."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raybilevel.errors import InputError

Condition = str | int
"""A prompt, a class's name, or its number."""

_TABLES = (".parquet", ".csv", ".jsonl")
_COLUMN = "prompt"


@dataclass(frozen=True)
class PromptList:
    """Distinct prompts; equal ones, with equal metadata, are merged.

    Attributes
    ----------
    conditions : C prompts or class labels.
    metadata : what a table says of each besides; None where it says nothing.
    shares : (C,) pi_c: how often each was given, summing to one.
    """

    conditions: tuple[Condition, ...]
    metadata: tuple[dict[str, Any], ...] | None
    shares: np.ndarray

    @classmethod
    def of(
        cls, conditions: Sequence[Condition], metadata: Sequence[Mapping[str, Any]] | None = None
    ) -> PromptList:
        """Of prompts as they were given."""
        said = [json.dumps(m, default=str) for m in metadata] if metadata else itertools.repeat("")
        places: dict[tuple[Condition, str], list[int]] = {}
        for i, pair in enumerate(zip(conditions, said)):  # noqa: B905 - one may be endless
            places.setdefault(pair, []).append(i)
        first = [where[0] for where in places.values()]
        return cls(
            tuple(conditions[i] for i in first),
            tuple(dict(metadata[i]) for i in first) if metadata else None,
            np.array([len(where) for where in places.values()]) / len(conditions),
        )

    def __len__(self) -> int:
        return len(self.conditions)

    @property
    def digest(self) -> np.ndarray:
        """64 bits of what all of it is, to be stored."""
        said = json.dumps([self.conditions, self.metadata, self.shares.tolist()], default=str)
        return np.frombuffer(hashlib.sha256(said.encode()).digest()[:8], dtype=np.int64)[0:1]

    def check_same(self, digest: np.ndarray) -> None:
        """Refuse to go on with other prompts than those that a pool was begun with.

        Raises
        ------
        InputError
            If the file that they are read from has changed.
        """
        if digest[0] != self.digest[0]:
            raise InputError(
                "prompts are not those that the run began with; put the file back as it was, or "
                "give another run.name"
            )


def read_prompts(given: str | Sequence[Condition]) -> PromptList:
    """The prompts that a user names.

    Parameters
    ----------
    given
        A list; a text file with a prompt a line; or a table (parquet, csv, jsonl) whose column
        `prompt` holds them, and whose other columns are metadata for rewards.

    Raises
    ------
    InputError
        If there is no such file, it has no such column, or there are no prompts in it.
    """
    if not isinstance(given, str):
        conditions, metadata = list(given), None
    elif given.endswith(_TABLES):
        conditions, metadata = _from_table(Path(given))
    else:
        conditions, metadata = _from_text(Path(given)), None
    if not conditions:
        where = f"prompts '{given}'" if isinstance(given, str) else "prompts"
        raise InputError(f"{where} is empty; give at least one")
    return PromptList.of(conditions, metadata)


def _from_text(path: Path) -> list[Condition]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"prompts '{path}' cannot be read as text ({error}); give a list, a text file with a "
            f"prompt a line, or a table ({', '.join(_TABLES)})"
        ) from error
    return [line.strip() for line in lines if line.strip()]


def _from_table(path: Path) -> tuple[list[Condition], list[dict[str, Any]] | None]:
    import pandas as pd

    read: Any = {
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        ".jsonl": lambda file: pd.read_json(file, lines=True),
    }[path.suffix]
    try:
        frame = read(path)
    except (OSError, ValueError) as error:  # all of pandas' and pyarrow's own are ValueErrors
        said = " ".join(str(error).split())
        raise InputError(f"prompts '{path}' cannot be read: {said}") from error
    if _COLUMN not in frame:
        raise InputError(
            f"prompts '{path}' has the columns {', '.join(map(str, frame.columns))}, but prompts "
            f"are in a column '{_COLUMN}'"
        )
    rest = frame.drop(columns=_COLUMN)
    return frame[_COLUMN].tolist(), rest.to_dict("records") if len(rest.columns) else None
