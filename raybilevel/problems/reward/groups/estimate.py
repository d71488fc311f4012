"""What the estimates of groups of prompts say together of the variables of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raybilevel.upper.penalty import Estimate
from raybilevel.upper.within import EstimateOverPrompts


@dataclass(frozen=True, eq=False)
class GroupEstimate:
    """One group's.

    Attributes
    ----------
    share : of its prompts among all.
    units : (m,) which of the influences (n,) of all are of its prompts.
    places : (d_g,) of its variables among those of all (d,).
    columns : (d_g,) of its variables in the estimate's gradient.
    estimate : of its own objective.
    """

    share: float
    units: np.ndarray
    places: np.ndarray
    columns: list[int]
    estimate: Estimate


@dataclass(frozen=True, eq=False)
class JointEstimate(EstimateOverPrompts):
    """F = sum_g share_g F_g and its gradient with respect to the variables of all (d,).

    Samples of different groups are independent, and so are prompts like these: which prompts belong
    to a group is fixed, and prompts of each are drawn anew (strata, as samples are of prompts).

    Attributes
    ----------
    groups : what it is made of.
    """

    groups: tuple[GroupEstimate, ...]

    @classmethod
    def of(cls, n: int, d: int, groups: Sequence[GroupEstimate]) -> JointEstimate:
        """Of n influences, and d variables."""
        value, gradient = 0.0, np.zeros(d)
        of_value, of_gradient = np.empty(n), np.zeros((n, d))
        for group in groups:
            e, scale = group.estimate, group.share * n / len(group.units)
            value += group.share * e.value
            gradient[group.places] += group.share * e.gradient[group.columns]
            of_value[group.units] = scale * e.value_influence
            moved = scale * e.gradient_influence[:, group.columns]
            of_gradient[np.ix_(group.units, group.places)] = moved
        return cls(value, gradient, of_value, of_gradient, (), tuple(groups))

    @property
    def fewest_prompts(self) -> int:
        """Of a group."""
        found = [group.estimate for group in self.groups]
        return min(e.fewest_prompts if isinstance(e, EstimateOverPrompts) else 1 for e in found)

    @property
    def value_influence_of_prompts(self) -> np.ndarray:
        """(C,), group by group."""
        return np.concatenate(self._of_prompts(lambda _, e: e.value_influence_of_prompts))

    @property
    def gradient_influence_of_prompts(self) -> np.ndarray:
        """(C, d), group by group."""

        def spread(group: GroupEstimate, e: EstimateOverPrompts) -> np.ndarray:
            own = e.gradient_influence_of_prompts[:, group.columns]
            found = np.zeros((len(own), len(self.gradient)))
            found[:, group.places] = own
            return found

        return np.concatenate(self._of_prompts(spread))

    def _of_prompts(
        self, influence: Callable[[GroupEstimate, EstimateOverPrompts], np.ndarray]
    ) -> list[np.ndarray]:
        """Each group's, scaled to what its prompts add to the whole."""
        found = []
        for group in self.groups:
            assert isinstance(group.estimate, EstimateOverPrompts), "each has several prompts"
            found.append(group.share * influence(group, group.estimate))
        count = sum(map(len, found))
        return [count / len(of_group) * of_group for of_group in found]
