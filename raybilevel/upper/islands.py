"""Samples in islands: particles that were resampled or moved depend on each other within one alone.

Row-wise errors of such samples come to half of the truth. Islands never exchange particles, so that
all errors are those of the delete-one-island jackknife (Kuensch 1989, Ann. Statist. 17, 1217-1241,
section 2, for blocks that are left out at once).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.upper.interval import Degrees, carriers
from raybilevel.upper.prompts import Prompts


@dataclass(frozen=True, eq=False)
class Islands(Prompts):
    """Prompts whose samples lie in islands, which are left out one at a time.

    Attributes
    ----------
    island : (n,) the sample's, in [0, I), counted prompt by prompt; every island has samples.
    """

    island: np.ndarray

    @cached_property
    def alone(self) -> Prompts:
        """Islands in place of prompts, each of which counts alike."""
        count = int(self.island.max()) + 1
        return Prompts(self.island, np.full(count, 1 / count))

    @property
    def order(self) -> np.ndarray:
        """(n,) the samples island by island, and so prompt by prompt."""
        return self.alone.order

    @property
    def sizes(self) -> np.ndarray:
        """(I,) samples of each island."""
        return self.alone.counts

    @cached_property
    def units(self) -> Prompts:
        """The islands, and which prompt each is of."""
        of = np.empty(len(self.sizes), dtype=np.int64)
        of[self.island] = self.of
        return Prompts(of, self.shares)


def degrees_of_islands(units: Prompts) -> Degrees:
    """Degrees of freedom of a variance that islands tell: half as many as there are, less one.

    Islands weigh by what they say of Z, so that not all of them count: with one less than there are
    95 % intervals of optima covered 88 to 93 % (`jobs/bench/annealed.py`). Fewer where few carry
    it: a sample variance of n numbers of kurtosis k has about 2 n / (k - 1) (O'Neill 2014, Am.
    Stat. 68, 282-296, section 3).
    """
    most = float(np.sum(units.counts - 1)) / 2

    def degrees(influence: np.ndarray) -> np.ndarray:
        excess = 1 / carriers(influence) - 1 / len(influence)
        with np.errstate(divide="ignore"):
            return np.clip(2 / excess, 1.0, most)

    return degrees
