"""The samples of a rung: their tilts, what islands say of Z, and which go on from there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.upper.ladder.strata import last_rungs
from raybilevel.upper.prompts import Prompts
from raybilevel.upper.resampling import systematic


@dataclass(frozen=True, eq=False)
class RungSamples:
    """The samples of one rung of each prompt.

    Attributes
    ----------
    rows : (m,) which of all samples.
    prompts, islands : which of each a sample is of; lower : (m, K).
    numbers : (C,) of the rung.
    scales : (C, K), log_z : (C, J)
    """

    rows: np.ndarray
    prompts: Prompts
    islands: Prompts
    numbers: np.ndarray
    lower: np.ndarray
    scales: np.ndarray
    log_z: np.ndarray

    @classmethod
    def last_of(cls, state: Arrays, prompts: Prompts, lower: np.ndarray) -> RungSamples:
        """Of each prompt's last rung that has any."""
        return cls._of(state, prompts, lower, last_rungs(prompts, state["pool/rung"]))

    @classmethod
    def before(cls, state: Arrays, prompts: Prompts, lower: np.ndarray) -> RungSamples:
        """Of the one before that has any; p0's of a prompt that has no other."""
        rung = state["pool/rung"]
        earlier = rung < last_rungs(prompts, rung)[prompts.of]
        return cls._of(state, prompts, lower, last_rungs(prompts, np.where(earlier, rung, 0)))

    @classmethod
    def _of(
        cls, state: Arrays, prompts: Prompts, lower: np.ndarray, numbers: np.ndarray
    ) -> RungSamples:
        rows = np.flatnonzero(state["pool/rung"] == numbers[prompts.of])
        each = np.arange(len(numbers))
        log_z = state["rungs_log_z"][numbers, each]
        return cls(
            rows,
            Prompts(prompts.of[rows], prompts.shares),
            Prompts(state["pool/island"][rows], np.full(log_z.size, 1 / log_z.size)),
            numbers,
            lower[rows],
            state["rungs_scale"][numbers, each],
            log_z,
        )

    def tilt(self, scales: np.ndarray) -> np.ndarray:
        """(m,) s.r2 of each sample, with s (C, K) of its prompt."""
        return np.asarray(np.sum(self.lower * scales[self.prompts.of], 1))

    def log_means(self, log_weights: np.ndarray) -> np.ndarray:
        """(C, J) log of each island's mean weight."""
        of_islands = self.islands.log_means(log_weights[self.islands.order])
        return of_islands.reshape(self.log_z.shape)

    def sds_of_others(self, tilt: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
        """(C, J) standard deviation of a tilt (m,) under weights, by all islands but each itself.

        Islands count by their Z.
        """
        log_weights = log_weights + self.log_z.ravel()[self.islands.of]
        prompts = self.prompts
        top = prompts.largest(log_weights[prompts.order])[prompts.of]
        middle = (prompts.sums(tilt[prompts.order]) / prompts.counts)[prompts.of]
        weights, t = np.exp(log_weights - top), tilt - middle
        moments = np.stack([weights, weights * t, weights * t**2], axis=1)
        own = self.islands.sums(moments[self.islands.order]).reshape(*self.log_z.shape, 3)
        total, first, second = np.moveaxis(own.sum(axis=1, keepdims=True) - own, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):  # none of the others counts
            variance = second / total - (first / total) ** 2
        return np.sqrt(np.fmax(variance, 0.0))

    def chosen(
        self, log_weights: np.ndarray, moving: np.ndarray, count: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Of each moving island (I,) so many samples, by their places, drawn by their weights."""
        return np.concatenate(
            [own[systematic(w, count, rng)] for own, w in self._islands(log_weights, moving)]
        )

    def _islands(
        self, log_weights: np.ndarray, moving: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Places of each moving island's samples, and their weights, which sum to one."""
        found = []
        for island in np.flatnonzero(moving):
            own = self.islands.order[self._ends[island] : self._ends[island + 1]]
            weights = np.exp(log_weights[own] - log_weights[own].max())
            found.append((own, weights / weights.sum()))
        return found

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.append(0, np.cumsum(self.islands.counts))
