"""Prompts as people keep them: a list, a text file, or a table with metadata for rewards."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raybilevel.errors import InputError
from raybilevel.problems.reward.prompts import PROMPT, WEIGHT, Condition, PromptList
from raybilevel.problems.reward.table_files import read_columns, reading


def read_prompts(given: str | Sequence[Condition]) -> PromptList:
    """The prompts that a user names.

    Parameters
    ----------
    given
        A list; a text file with a prompt a line; or a table (parquet, csv, jsonl) whose column
        `prompt` holds them, `weight` how often each counts, `group` what each belongs to, and whose
        columns but the first two are metadata for rewards. Of csv all but weights are texts.

    Raises
    ------
    InputError
        If there is no such file, it has no such column, or there are no prompts in it.
    """
    if not isinstance(given, str):
        return _listed(list(given), "prompts")
    named, read = f"prompts '{given}'", _TABLES.get(Path(given).suffix)
    tables = ", ".join(_TABLES)
    with reading(named, f"give a list, a text file with a prompt a line, or a table ({tables})"):
        if read is None:
            text = Path(given).read_text(encoding="utf-8-sig")
            return _listed([line.strip() for line in text.split("\n") if line.strip()], named)
        rows = read(Path(given))
    return _from_rows(rows, named)


def _listed(conditions: list[Condition], named: str) -> PromptList:
    if not conditions:
        raise InputError(f"{named} is empty; give at least one")
    return PromptList.of(conditions)


def _from_rows(rows: list[dict[str, Any]], named: str) -> PromptList:
    if not rows:
        raise InputError(f"{named} is empty; give at least one")
    for i, row in enumerate(rows):
        if not isinstance(row.get(PROMPT), (str, int)):
            raise InputError(
                f"{named} has no prompt in row {i + 1}, whose columns are {', '.join(row)}; "
                f"prompts are in a column '{PROMPT}'"
            )
    weights = [_weight(row.get(WEIGHT, 1.0), i, named) for i, row in enumerate(rows)]
    rest = [{k: v for k, v in row.items() if k not in (PROMPT, WEIGHT)} for row in rows]
    return PromptList.of([row[PROMPT] for row in rows], rest if any(rest) else None, weights)


def _weight(value: Any, row: int, named: str) -> float:
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InputError(
            f"{named} has the weight {value!r} in row {row + 1}, but it must be a number above 0"
        )
    return weight


def _of_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    for i, row in enumerate(rows):
        if None in row or None in row.values():
            raise ValueError(
                f"row {i + 1} has not as many fields as the header; put texts with commas in quotes"
            )
    return rows


def _of_jsonl(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line is no object")
    return rows


# pyarrow reads parquet alone here: of csv it takes what follows a quote that is never closed for
# one text; of jsonl it gives each row all keys, wants one type a column, and makes texts dates
_TABLES: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    ".parquet": lambda path: read_columns(path, (), list).to_pylist(),
    ".csv": _of_csv,
    ".jsonl": _of_jsonl,
}
