"""What several prompts say together, by the jackknife within each.

With n_c of n samples a prompt each F_c has a bias of order 1 / n_c, and over prompts biases add
while errors average; so value, gradient, Hessian and their variances are jackknifed within prompts.
As samples of different prompts are independent, the influence of a sample on the whole is
pi_c n / n_c times that on its prompt's, and the squared standard error is sum_c pi_c^2 SE_c^2
(Cochran 1977, Sampling Techniques, section 5.4: stratified sampling).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from raybilevel.upper.jackknife import Jackknifed
from raybilevel.upper.natural import Coordinates
from raybilevel.upper.penalty import Estimate
from raybilevel.upper.prompts import Prompts
from raybilevel.upper.tilting import Tilt

FEWEST_PROMPTS = 20
"""That say how much prompts like them differ."""


@dataclass(frozen=True, eq=False)
class EstimateOverPrompts(Estimate):
    """An estimate that tells how sure it is for prompts like these too."""

    @property
    @abstractmethod
    def fewest_prompts(self) -> int:
        """That prompts like these are to be judged by."""

    @property
    @abstractmethod
    def value_influence_of_prompts(self) -> np.ndarray:
        """(C,): as `value_influence`, where prompts like these are drawn, with their samples."""

    @property
    @abstractmethod
    def gradient_influence_of_prompts(self) -> np.ndarray:
        """(C, columns): as `gradient_influence`, where prompts like these are drawn."""

    @property
    def value_se_of_prompts(self) -> float:
        """Standard error of `value` for prompts like these; nan where there are too few."""
        if self.fewest_prompts < FEWEST_PROMPTS:
            return math.nan
        influence = self.value_influence_of_prompts
        return math.sqrt(float(np.sum(influence**2))) / len(influence)


@dataclass(frozen=True, eq=False)
class EstimateWithin(EstimateOverPrompts):
    """An estimate over prompts: its standard errors are for these prompts.

    Attributes
    ----------
    value_correction, gradient_correction : what the jackknife has added to `value` and to
        `gradient` (1 + K,).
    prompts : which sample belongs to which.
    values : (C,), gradients : (C, 1 + K), of every prompt.
    """

    value_correction: float
    gradient_correction: np.ndarray
    prompts: Prompts
    values: np.ndarray
    gradients: np.ndarray

    @property
    def fewest_prompts(self) -> int:
        """All of them."""
        return len(self.values)

    @property
    def value_influence_of_prompts(self) -> np.ndarray:
        """(C,)."""
        return self._of_prompts(self.values[:, None], np.array([self.value]))[:, 0]

    @property
    def gradient_influence_of_prompts(self) -> np.ndarray:
        """(C, 1 + K)."""
        return self._of_prompts(self.gradients, self.gradient)

    def _of_prompts(self, own: np.ndarray, mean: np.ndarray) -> np.ndarray:
        c = len(self.prompts.shares)
        scale = c * self.prompts.shares * math.sqrt(c / (c - 1))
        return scale[:, None] * (own - mean)


def over_prompts(
    prompts: Prompts, found: Jackknifed, to_x: Coordinates, tilts: tuple[Tilt, ...]
) -> EstimateWithin:
    """The average over prompts of a value and its gradient in y, (C, 2 + K) of each."""
    gradients, corrections, influences = (
        to_x.gradient(part[:, 1:]) for part in (found.values, found.corrections, found.influences)
    )
    scale = prompts.each(prompts.shares * len(prompts.of) / prompts.counts)
    return EstimateWithin(
        float(prompts.shares @ found.values[:, 0]),
        prompts.shares @ gradients,
        prompts.in_pool(scale * found.influences[:, 0]),
        prompts.in_pool(scale[:, None] * influences),
        tilts,
        float(prompts.shares @ found.corrections[:, 0]),
        prompts.shares @ corrections,
        prompts,
        found.values[:, 0],
        gradients,
    )
