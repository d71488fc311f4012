"""A pool that somebody has already: a table with the rewards of samples of p0."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from raybilevel.errors import InputError
from raybilevel.problems.base import Arrays
from raybilevel.problems.prompts.prompt_list import PromptList

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
