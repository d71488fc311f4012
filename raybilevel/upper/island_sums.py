"""Sums of weighted rows within prompts: of all, and without each island."""

from __future__ import annotations

import numpy as np

from raybilevel.upper.islands import Islands
from raybilevel.upper.jackknife import PromptSums, TiltedSums
from raybilevel.upper.prompts import Prompts


class IslandSums:
    """Sums within prompts of rows times exp(tilt) (n,), in order, each prompt with two islands."""

    def __init__(self, islands: Islands, tilt: np.ndarray) -> None:
        self._islands = islands
        self._top = islands.largest(tilt)
        self._weights = np.exp(tilt - islands.each(self._top))[:, None]

    def of(self, rows: np.ndarray) -> PromptSums:
        """Sums of `rows` (n, m)."""
        islands, terms = self._islands, self._weights * rows
        ends, left = np.cumsum(islands.counts), islands.ordered_left
        without = [
            left[:, end - count : end] @ terms[end - count : end]
            for count, end in zip(islands.counts, ends, strict=True)
        ]
        each = islands.units.each(self._top)
        return PromptSums(islands.sums(terms), np.concatenate(without), self._top, each)


def tilted_sums(prompts: Prompts, tilt: np.ndarray) -> TiltedSums | IslandSums:
    """Without each sample, or without each island where samples lie in such."""
    if isinstance(prompts, Islands):
        return IslandSums(prompts, tilt)
    return TiltedSums(prompts, tilt)
