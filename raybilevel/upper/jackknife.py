"""The jackknife within prompts: what an estimate is without each of its samples.

Delete-one estimates of a stratum give its bias of order 1 / n_c and its variance; strata are
independent (Jones 1974, J. Am. Stat. Assoc. 69, 343-348; Efron & Stein 1981, Ann. Statist. 9,
586-596). All of them come from sums over a prompt without one row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.upper.prompts import Prompts


@dataclass(frozen=True, eq=False)
class PromptSums:
    """Sums of weighted rows within prompts: of all, and without each.

    Attributes
    ----------
    whole : (C, m), without : (n, m) in order
    whole_scale : (C,), without_scale : (n,)
        Logarithm of what they are to be multiplied by.
    """

    whole: np.ndarray
    without: np.ndarray
    whole_scale: np.ndarray
    without_scale: np.ndarray


class TiltedSums:
    """Sums within prompts of rows times exp(tilt) (n,), in order, each prompt with two at least.

    Without its heaviest sample a prompt may weigh less than that one's rounding: what is left is
    summed anew, on its own scale.
    """

    def __init__(self, prompts: Prompts, tilt: np.ndarray) -> None:
        self._prompts = prompts
        self._top = prompts.largest(tilt)
        self._scale = prompts.each(self._top)
        self._weights = np.exp(tilt - self._scale)[:, None]
        self._heaviest = _first(tilt == self._scale, prompts)
        rest = tilt.copy()
        rest[self._heaviest] = -np.inf
        second = prompts.largest(rest)
        self._rest = np.exp(rest - prompts.each(second))[:, None]
        self._scale[self._heaviest] = second

    def of(self, rows: np.ndarray) -> PromptSums:
        """Sums of `rows` (n, m)."""
        terms = self._weights * rows
        whole = self._prompts.sums(terms)
        without = self._prompts.each(whole)
        without -= terms
        without[self._heaviest] = self._prompts.sums(self._rest * rows)
        return PromptSums(whole, without, self._top, self._scale)


def _first(chosen: np.ndarray, prompts: Prompts) -> np.ndarray:
    """The first chosen (n,) row of each prompt (C,)."""
    rows = np.flatnonzero(chosen)
    of = np.repeat(np.arange(len(prompts.counts)), prompts.counts)[rows]
    return rows[np.unique(of, return_index=True)[1]]


@dataclass(frozen=True, eq=False)
class Jackknifed:
    """Statistics of every prompt, corrected for their bias of order 1 / n_c.

    Attributes
    ----------
    values : (C, q), corrected.
    corrections : (C, q), what the correction has added.
    influences : (n, q) in order: with mean zero within a prompt, where the variance is the sum of
        their squares over n_c^2.
    """

    values: np.ndarray
    corrections: np.ndarray
    influences: np.ndarray


def jackknife(prompts: Prompts, whole: np.ndarray, without: np.ndarray) -> Jackknifed:
    """From statistics of every prompt (C, q), and of it without each sample (n, q), in order."""
    counts = prompts.counts[:, None]
    mean = prompts.sums(without) / counts
    corrections = _corrections(counts, whole, mean)
    scale = np.sqrt(counts * (counts - 1.0))
    influences = prompts.each(scale) * (prompts.each(mean) - without)
    return Jackknifed(whole + corrections, corrections, influences)


def corrected(prompts: Prompts, whole: np.ndarray, without: np.ndarray) -> np.ndarray:
    """The values (C, q) alone."""
    counts = prompts.counts[:, None]
    return whole + _corrections(counts, whole, prompts.sums(without) / counts)


def _corrections(counts: np.ndarray, whole: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return np.asarray((counts - 1) * (whole - mean))
