"""The upper objective over groups of prompts that share some variables: one function of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.problems.reward.groups.estimate import GroupEstimate, JointEstimate
from raybilevel.problems.reward.groups.objective import GroupedObjective, GroupedPoint
from raybilevel.problems.reward.pool_objective import Hessian, Restricted
from raybilevel.upper.diagnostics import Diagnostics
from raybilevel.upper.penalty import Estimate


@dataclass(frozen=True, eq=False)
class JointObjective(GroupedObjective):
    """F(x) = sum_g share_g F_g(x_shared, x_g), which is believed where every group can be."""

    @property
    def columns(self) -> list[int]:
        """All: gradients of an estimate are with respect to x (d,) itself."""
        return list(range(len(self.variables)))

    def at(self, x: np.ndarray) -> JointPoint:
        """What the pool says at `x` (d,)."""
        return JointPoint(self, x)

    def curved(self, x: np.ndarray) -> tuple[JointEstimate, Hessian]:
        """Objective and gradient at `x` (d,), and the second derivatives there."""
        found = [part.objective.curved(x[here]) for part, here in self._placed]
        hessians = [hessian for _, hessian in found]
        return self.joined([e for e, _ in found]), lambda: self._hessian(hessians)

    def examine(self, estimate_: Estimate, *, of_size: bool = False) -> Diagnostics:
        """Whether an estimate can be believed: by the gates of every group."""
        assert isinstance(estimate_, JointEstimate), "it is of this objective"
        named = zip(self.parts.items(), estimate_.groups, strict=True)
        return self.worst(
            {g: p.objective.examine(found.estimate, of_size=of_size) for (g, p), found in named}
        )

    def joined(self, estimates: Sequence[Estimate]) -> JointEstimate:
        """What the estimates of all groups say together."""
        placed = zip(self._placed, estimates, strict=True)
        groups = [_of_group(part, here, e) for (part, here), e in placed]
        return JointEstimate.of(self.units, len(self.variables), groups)

    def _hessian(self, of_groups: Sequence[Hessian]) -> np.ndarray:
        """A block arrow (d, d): groups meet in what they share alone."""
        whole = np.zeros((len(self.variables), len(self.variables)))
        for (part, here), hessian in zip(self._placed, of_groups, strict=True):
            whole[np.ix_(here, here)] += part.share * hessian()
        return whole

    @cached_property
    def _placed(self) -> list[tuple[Restricted, np.ndarray]]:
        """Every group, and where in x its variables are."""
        return [(part, self.coefficients.places[g]) for g, part in self.parts.items()]


@dataclass(frozen=True, eq=False)
class JointPoint(GroupedPoint):
    """What a pool says at one x (d,), as one number of all variables."""

    objective: JointObjective

    @cached_property
    def estimate(self) -> JointEstimate:
        """Objective and gradient."""
        return self.objective.joined([point.estimate for point in self.parts.values()])


def _of_group(part: Restricted, places: np.ndarray, estimate: Estimate) -> GroupEstimate:
    return GroupEstimate(part.share, part.units, places, part.objective.columns, estimate)
