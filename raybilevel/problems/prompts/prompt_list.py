"""What is drawn: distinct prompts or class labels, with what is known of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.problems.base import Arrays

Condition = str | int
"""A prompt, a class's name, or its number."""

PROMPT, GROUP, WEIGHT = "prompt", "group", "weight"
"""Columns of tables: what is drawn, what it belongs to, and how much it counts."""


@dataclass(frozen=True, eq=False)
class PromptList:
    """Distinct prompts; equal ones, with equal metadata, are merged.

    Attributes
    ----------
    conditions : C prompts or class labels.
    metadata : what a table says of each besides; None where it says nothing.
    shares : (C,) pi_c: how often each was given, summing to one.
    groups : (C,) names of what each belongs to; None where nothing says so.
    """

    conditions: tuple[Condition, ...]
    metadata: tuple[dict[str, Any], ...] | None
    shares: np.ndarray
    groups: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        conditions: Sequence[Condition],
        metadata: Sequence[Mapping[str, Any]] | None = None,
        weights: Sequence[float] | None = None,
    ) -> PromptList:
        """Of prompts as they were given, which count as their weights say; None for once each.

        Groups are what the metadata say, where they do for all prompts.
        """
        said = [_spelt(m) for m in metadata] if metadata else [""] * len(conditions)
        counts: dict[tuple[Condition, str], float] = {}
        first: dict[tuple[Condition, str], int] = {}
        for i, pair in enumerate(zip(conditions, said, strict=True)):
            first.setdefault(pair, i)
            counts[pair] = counts.get(pair, 0.0) + (1.0 if weights is None else weights[i])
        shares = np.array(list(counts.values()))
        kept = tuple(dict(metadata[i]) for i in first.values()) if metadata else None
        return cls(
            tuple(conditions[i] for i in first.values()), kept, shares / shares.sum(), _groups(kept)
        )

    def __len__(self) -> int:
        return len(self.conditions)

    def draw(self, count: int, seed: int) -> np.ndarray:
        """Places (count,) of distinct ones, in their order, drawn evenly."""
        rng = np.random.default_rng([seed, 0x70726F6D])
        return np.sort(rng.choice(len(self), count, replace=False))

    def at(self, places: np.ndarray) -> PromptList:
        """Those in these places (m,), sorted, which count as they did beside each other."""
        if len(places) == len(self):
            return self
        conditions = tuple(self.conditions[i] for i in places)
        metadata = None if self.metadata is None else tuple(self.metadata[i] for i in places)
        groups = None if self.groups is None else tuple(self.groups[i] for i in places)
        shares = self.shares[places]
        return PromptList(conditions, metadata, shares / shares.sum(), groups)

    @property
    def digest(self) -> np.ndarray:
        """64 bits of what all of it is, to be stored."""
        said = _spelt([self.conditions, self.metadata, self.shares])
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


def groups_of(prompts: PromptList | None, named: str) -> tuple[str, ...]:
    """The groups (C,) of prompts, where they are asked for.

    Parameters
    ----------
    named : what sentences call the table of prompts.

    Raises
    ------
    InputError
        If there are no prompts, or nothing says which group each belongs to.
    """
    if prompts is not None and prompts.groups is not None:
        return prompts.groups
    metadata = () if prompts is None or prompts.metadata is None else prompts.metadata
    lacking = [i for i, row in enumerate(metadata) if row.get(GROUP) is None]
    if prompts is not None and 0 < len(lacking) < len(metadata):
        raise InputError(
            f"{named} has no {GROUP} for {prompts.conditions[lacking[0]]!r}; give every prompt one"
        )
    column = PROMPT if prompts is None else GROUP
    raise InputError(
        f"groups are asked for, but {named} has no column '{column}'; give a table with "
        f"'{PROMPT}' and '{GROUP}'"
    )


def _groups(metadata: Sequence[Mapping[str, Any]] | None) -> tuple[str, ...] | None:
    if metadata is None or any(row.get(GROUP) is None for row in metadata):
        return None
    return tuple(str(row[GROUP]) for row in metadata)


def _spelt(value: Any) -> str:
    """All of a value, arrays too, in one spelling."""
    return json.dumps(value, sort_keys=True, default=lambda v: getattr(v, "tolist", v.__str__)())


def prompt_places(state: Arrays, prompts: int) -> np.ndarray:
    """Where a run's prompts are in their list (prompts,): those that it drew, or all of them."""
    return state.get("prompts_drawn", np.arange(prompts))
