"""Sums of weighted rows within prompts: of all, and without each island."""

from __future__ import annotations

import numpy as np

from raybilevel.upper.islands import Islands
from raybilevel.upper.jackknife import PromptSums, TiltedSums
from raybilevel.upper.prompts import Prompts


class IslandSums:
    """Sums within prompts of rows times exp(tilt) (n,), in order, each prompt with two islands.

    What is left without an island is added up from the others: a difference would have no digits
    where one weighs nearly all.

    Parameters
    ----------
    changes : (J, n) what weights are multiplied by without the j-th island of each prompt, each of
        which has J; None where they stay.
    """

    def __init__(
        self, islands: Islands, tilt: np.ndarray, changes: np.ndarray | None = None
    ) -> None:
        self._islands, self._changes = islands, changes
        self._top = islands.largest(tilt)
        self._weights = np.exp(tilt - islands.each(self._top))[:, None]

    def of(self, rows: np.ndarray) -> PromptSums:
        """Sums of `rows` (n, m)."""
        units = self._islands.units
        of_islands = self._islands.alone.sums(self._weights * rows)
        if self._changes is None:
            without = _without_each(of_islands, units.counts)
        else:
            without = self._changed(self._changes, self._weights * rows)
        return PromptSums(units.sums(of_islands), without, self._top, units.each(self._top))

    def _changed(self, changes: np.ndarray, weighted: np.ndarray) -> np.ndarray:
        """Sums (I, m) without each island, where the weights of the others change with it."""
        j, m = len(changes), weighted.shape[1]
        found = np.empty((len(self._islands.shares), j, m))
        for island, change in enumerate(changes):
            sums = self._islands.alone.sums(change[:, None] * weighted)
            found[:, island] = np.delete(sums.reshape(-1, j, m), island, axis=1).sum(1)
        return found.reshape(-1, m)


def tilted_sums(
    prompts: Prompts, tilt: np.ndarray, changes: np.ndarray | None = None
) -> TiltedSums | IslandSums:
    """Without each sample, or without each island where samples lie in such."""
    if isinstance(prompts, Islands):
        return IslandSums(prompts, tilt, changes)
    return TiltedSums(prompts, tilt)


def _without_each(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums of the other rows (I, m) of the same prompt, which has `counts` (C,) of them."""
    without, ends = np.zeros_like(rows), np.cumsum(counts)
    for end, count in zip(ends, counts, strict=True):
        own, out = rows[end - count : end], without[end - count : end]
        out[1:] += np.cumsum(own[:-1], axis=0)
        out[:-1] += np.cumsum(own[:0:-1], axis=0)[::-1]
    return without
