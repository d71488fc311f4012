"""Reads a table of samples that are there already: which columns, and what each must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.errors import InputError
from raybilevel.problems.prompts.prompt_list import GROUP, PROMPT, WEIGHT, PromptList
from raybilevel.problems.prompts.table_files import READERS, names, numbers, read_columns, reading
from raybilevel.problems.reward.pool_table import PoolTable

if TYPE_CHECKING:
    import pyarrow


def read_pool(given: str, columns: Mapping[str, str]) -> PoolTable:
    """The table that a user names, of which the named columns alone are read.

    Parameters
    ----------
    given
        A parquet, csv or jsonl file: a row a sample, rewards as numbers in columns; perhaps
        `prompt`, and, the same in all rows of a prompt, `group` and `weight`. Without `weight` a
        prompt counts as often as it has rows, as equal ones of a list do; with it, as it says.
    columns
        The file's column for each column of the pool.

    Raises
    ------
    InputError
        If it is no such table, or has no such columns; naming row and column of what is wrong.
    """
    named = f"pool '{given}'"
    wanted = f"give a table ({', '.join(READERS)})"
    with reading(named, wanted):
        table = read_columns(
            Path(given), (PROMPT, GROUP), lambda there: _chosen(there, columns, named)
        )
    if not len(table):
        raise InputError(f"{named} is empty; give a row a sample")
    rewards = {column: numbers(table, name, named) for column, name in columns.items()}
    rows = np.arange(len(table))
    if PROMPT not in table.column_names:
        return PoolTable(named, rewards, rows).check()
    conditions, of = names(table, PROMPT, named)
    prompts = PromptList(
        tuple(conditions), None, _shares(table, of, named), _groups(table, of, conditions, named)
    )
    return PoolTable(named, rewards, rows, prompts, of).check()


def _chosen(there: Sequence[str], columns: Mapping[str, str], named: str) -> list[str]:
    """Columns to read, each once, of those that there are."""
    for name in (PROMPT, GROUP, WEIGHT, *columns.values()):
        if there.count(name) > 1:
            raise InputError(f"{named} has several columns '{name}'; give each a name of its own")
    for column, name in columns.items():
        if name not in there:
            raise InputError(
                f"{named} has no column '{name}', which reward '{column}' names; it has "
                f"{', '.join(there)}"
            )
    if WEIGHT in there and PROMPT not in there:
        raise InputError(
            f"{named} has a column '{WEIGHT}', which is how much a prompt counts, but none "
            f"'{PROMPT}'; leave it out, or give both"
        )
    own = [name for name in (PROMPT, GROUP, WEIGHT) if name in there and PROMPT in there]
    return list(dict.fromkeys([*own, *columns.values()]))


def _shares(table: pyarrow.Table, of: np.ndarray, named: str) -> np.ndarray:
    """(C,) pi_c, summing to one."""
    if WEIGHT not in table.column_names:
        counts = np.bincount(of)
        return np.asarray(counts / counts.sum())
    weights = numbers(table, WEIGHT, named)
    bad = np.flatnonzero(weights <= 0)
    if bad.size:
        raise InputError(
            f"{named} has the weight {weights[bad[0]]:g} in row {bad[0] + 1}, but it must be above "
            "0; leave the rows of a prompt out that is not to count"
        )
    _, first = np.unique(of, return_index=True)
    _check_same_within(weights[first][of] == weights, of, WEIGHT, table, named)
    return np.asarray(weights[first] / weights[first].sum())


def _groups(
    table: pyarrow.Table, of: np.ndarray, conditions: Sequence[str | int], named: str
) -> tuple[str, ...] | None:
    """(C,) each prompt's, where the table has them."""
    if GROUP not in table.column_names:
        return None
    groups, places = names(table, GROUP, named)
    _, first = np.unique(of, return_index=True)
    _check_same_within(places[first][of] == places, of, GROUP, table, named)
    return tuple(str(groups[place]) for place in places[first])


def _check_same_within(
    same: np.ndarray, of: np.ndarray, name: str, table: pyarrow.Table, named: str
) -> None:
    """Refuse a row (n,) that says otherwise than the first of its prompt."""
    if same.all():
        return
    row = int(np.flatnonzero(~same)[0])
    first = int(np.flatnonzero(of == of[row])[0])
    here, there, prompt = (
        table[column][place].as_py()
        for column, place in ((name, row), (name, first), (PROMPT, row))
    )
    raise InputError(
        f"{named} has the {name} {here!r} in row {row + 1}, but {there!r} in row {first + 1}, both "
        f"of the prompt {prompt!r}; give each prompt one"
    )
