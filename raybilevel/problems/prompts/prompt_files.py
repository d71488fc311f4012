"""Prompts as people keep them: a list, a text file, or a table with metadata for rewards."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from raybilevel.data.hub import is_hub_name, read_hub_rows
from raybilevel.errors import InputError
from raybilevel.problems.prompts.prompt_list import PROMPT, WEIGHT, Condition, PromptList
from raybilevel.problems.prompts.table_files import read_columns, reading

_TEXT = "text"  # what `datasets` calls the lines of a text file
_USUAL = (PROMPT, "Prompt", "caption", _TEXT)  # columns of data sets of the hub


def read_prompts(given: str | Sequence[Condition]) -> PromptList:
    """The prompts that a user names.

    Parameters
    ----------
    given
        A list; a text file with a prompt a line; or a table (parquet, csv, jsonl) whose column
        `prompt` holds them, `weight` how often each counts, `group` what each belongs to, and whose
        columns but the first two are metadata for rewards. Of csv all but weights are texts. Or
        "owner/name", a data set of the Hugging Face hub, where there is no such path: a table as
        `datasets` gives it (of csv numbers are numbers), whose prompts may also be in `Prompt`,
        `caption` or `text`, as nobody can rename the columns of somebody else's.

    Raises
    ------
    InputError
        If there is no such file or data set, it has no such column, or there are no prompts in it.
    """
    if not isinstance(given, str):
        return _listed(list(given), "prompts")
    named, read = f"prompts '{given}'", _TABLES.get(Path(given).suffix)
    tables = ", ".join(_TABLES)
    with reading(named, f"give a list, a text file with a prompt a line, or a table ({tables})"):
        if _is_of_hub(given):
            return read_hub_prompts(given)
        if read is None:
            return _of_lines(Path(given).read_text(encoding="utf-8-sig").split("\n"), named)
        rows = read(Path(given))
    return _from_rows(rows, named)


def _is_of_hub(given: str) -> bool:
    """Whether it is named as there, and is no path; what ends as a file does is a file."""
    is_file = Path(given).suffix in (*_TABLES, ".txt")
    return is_hub_name(given) and not is_file and not Path(given).exists()


def read_hub_prompts(name: str) -> PromptList:
    """The prompts of a data set of the hub; see `read_prompts`."""
    named = f"prompts '{name}'"
    rows = read_hub_rows(name, named)
    lines = [row[_TEXT] for row in rows if row.keys() == {_TEXT} and isinstance(row[_TEXT], str)]
    if len(lines) == len(rows):  # of a text file, blank ones too
        return _of_lines(lines, named)
    return _from_rows(rows, named, _USUAL)


def _of_lines(lines: Sequence[str], named: str) -> PromptList:
    return _listed([line.strip() for line in lines if line.strip()], named)


def _listed(conditions: list[Condition], named: str) -> PromptList:
    if not conditions:
        raise InputError(f"{named} is empty; give at least one")
    return PromptList.of(conditions)


def _from_rows(
    rows: list[dict[str, Any]], named: str, usual: Sequence[str] = (PROMPT,)
) -> PromptList:
    """Prompts in the first of the usual columns that the table has."""
    said = "' or '".join(usual)
    if not rows:
        raise InputError(f"{named} is empty; give at least one")
    column = next((name for name in usual if name in rows[0]), PROMPT)
    for i, row in enumerate(rows):
        if not isinstance(row.get(column), (str, int)):
            raise InputError(
                f"{named} has no prompt in row {i + 1}, whose columns are {', '.join(row)}; "
                f"prompts are in a column '{said}'"
            )
    weights = [_weight(row.get(WEIGHT, 1.0), i, named) for i, row in enumerate(rows)]
    rest = [{k: v for k, v in row.items() if k not in (column, WEIGHT)} for row in rows]
    return PromptList.of([row[column] for row in rows], rest if any(rest) else None, weights)


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
