"""Paths that lie in groups, which are resampled where few of their paths weigh much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from raybilevel.upper.resampling import systematic

_EFFECTIVE = 0.5  # of a group's paths: with fewer it is resampled
_END = 2**31  # no sampler makes so many steps


@dataclass(frozen=True)
class PathGroups:
    """Groups of equally many paths, side by side, that never exchange any.

    Attributes
    ----------
    seeds : of each, which decide what is random about resampling it.
    each : paths of a group.
    """

    seeds: Sequence[int]
    each: int

    def at(self, part: slice) -> PathGroups:
        """Those of some paths alone, which are whole groups."""
        return PathGroups(self.seeds[part.start // self.each : part.stop // self.each], self.each)

    @property
    def slices(self) -> list[slice]:
        """The paths of each."""
        return [slice(i * self.each, (i + 1) * self.each) for i in range(len(self.seeds))]

    def uneven(self, log_weights: np.ndarray, step: int) -> Iterator[tuple[int, slice, np.ndarray]]:
        """Which groups are to be resampled at a step, by log-weights (N,) of their paths.

        Yields the group, its paths, and which of all paths take their places.
        """
        for i, group in enumerate(self.slices):
            weights = normalised(log_weights[group])
            if 1 / np.sum(weights**2) < _EFFECTIVE * self.each:
                yield i, group, group.start + self._drawn(i, weights, step)

    def at_end(self, log_weights: np.ndarray) -> np.ndarray:
        """Which of its group's paths take the place of each (N,), that all may weigh alike."""
        drawn = [
            self._drawn(i, normalised(log_weights[group]), _END)
            for i, group in enumerate(self.slices)
        ]
        return np.concatenate(drawn) + np.repeat([group.start for group in self.slices], self.each)

    def log_means(self, log_weights: np.ndarray) -> np.ndarray:
        """Log of the mean weight of each group."""
        rows = log_weights.reshape(-1, self.each)
        top = rows.max(1)
        return np.asarray(top + np.log(np.mean(np.exp(rows - top[:, None]), 1)))

    def _drawn(self, group: int, weights: np.ndarray, step: int) -> np.ndarray:
        rng = np.random.default_rng([self.seeds[group], step])
        return systematic(weights, self.each, rng)


def normalised(log_weights: np.ndarray) -> np.ndarray:
    """Weights that sum to one."""
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())
