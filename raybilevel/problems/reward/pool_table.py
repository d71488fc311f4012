"""A pool that somebody has already: a table with the rewards of samples of p0."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from raybilevel.errors import InputError
from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.prompts import GROUP, PROMPT, WEIGHT, PromptList
from raybilevel.problems.reward.table_files import READERS, names, numbers, read_columns, reading

if TYPE_CHECKING:
    import pyarrow

Half = Literal["first", "second"]

_FEWEST = 2  # samples that tell how sure an estimate is, of each prompt
_SEED = 0  # of the halves, which are the same for all runs on a table


@dataclass(frozen=True, eq=False)
class PoolTable:
    """Samples of p0: a row each.

    Attributes
    ----------
    named : what sentences call it.
    rewards : (n,) by their column in the pool.
    rows : (n,) each sample's place in the file.
    prompts : distinct ones; None where the table says nothing of them.
    of : (n,) each sample's place among the prompts; None without.
    """

    named: str
    rewards: Mapping[str, np.ndarray]
    rows: np.ndarray
    prompts: PromptList | None = None
    of: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def arrays(self) -> Arrays:
        """What a run's state has of it."""
        of_prompts = {} if self.of is None else {"pool/prompt": self.of}
        rewards = {f"pool/{column}": values for column, values in self.rewards.items()}
        return {"pool/row": self.rows, **of_prompts, **rewards, "table_digest": self.digest}

    @cached_property
    def digest(self) -> np.ndarray:
        """64 bits of what all of it is, to be stored."""
        said = hashlib.sha256()
        for column, values in self.rewards.items():
            said.update(column.encode() + values.tobytes())
        if self.prompts is not None and self.of is not None:
            groups = repr(self.prompts.groups).encode()
            said.update(self.of.tobytes() + self.prompts.digest.tobytes() + groups)
        return np.frombuffer(said.digest()[:8], dtype=np.int64)

    def check_same(self, digest: np.ndarray) -> None:
        """Refuse to go on with another table than a run was begun with.

        Raises
        ------
        InputError
            If the file has changed.
        """
        if digest[0] != self.digest[0]:
            raise InputError(
                f"{self.named} is not what the run began with; put the file back as it was, or "
                "give another run.name"
            )

    def half(self, which: Half) -> PoolTable:
        """One of two random halves of each prompt's rows; prompts count in both as in the whole.

        Raises
        ------
        InputError
            If a prompt has fewer than two samples for each.
        """
        of = np.zeros(len(self), dtype=np.int64) if self.of is None else self.of
        self._check_counts(of, 2 * _FEWEST, "two for each half")
        order = np.lexsort((np.random.default_rng(_SEED).random(len(self)), of))
        begins = np.searchsorted(of[order], of[order])
        odd = (np.arange(len(self)) - begins) % 2 == 1
        kept = np.sort(order[odd == (which == "second")])
        rewards = {column: values[kept] for column, values in self.rewards.items()}
        rows, places = self.rows[kept], None if self.of is None else self.of[kept]
        return replace(self, rewards=rewards, rows=rows, of=places)

    def check(self) -> PoolTable:
        """Itself, where there are samples enough to say how sure an estimate is.

        Raises
        ------
        InputError
            If there are none, or a prompt has but one.
        """
        of = np.zeros(len(self), dtype=np.int64) if self.of is None else self.of
        self._check_counts(of, _FEWEST, "two, to tell how sure an estimate is")
        return self

    def _check_counts(self, of: np.ndarray, fewest: int, why: str) -> None:
        counts = np.bincount(of)
        few = np.flatnonzero(counts < fewest)
        if few.size:
            prompt = "" if self.prompts is None else f" of {self.prompts.conditions[few[0]]!r}"
            samples = "1 sample" if counts[few[0]] == 1 else f"{counts[few[0]]} samples"
            raise InputError(
                f"{self.named} has {samples}{prompt}; give {fewest} at least"
                f"{'' if self.prompts is None else ' of each prompt'}: {why}"
            )


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
