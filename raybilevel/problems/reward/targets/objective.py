"""What a target is about, at any lambda, on one pool."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.targets.target import Target
from raybilevel.upper.diagnostics import Diagnostics, examine
from raybilevel.upper.gates import GATES_OF_KL, Gates
from raybilevel.upper.interval import Degrees, degrees_of_carriers
from raybilevel.upper.kl import kl_estimate
from raybilevel.upper.penalty import Estimate
from raybilevel.upper.within import EstimateWithin


@dataclass(frozen=True, eq=False, kw_only=True)
class TargetObjective(PoolObjective):
    """The KL, or a reward's mean under p_x: an `Estimate` as others, but nothing to be minimised.

    Attributes
    ----------
    target : what is aimed at. For a reward `pool.upper` is minus that reward, so that what F is
        there is its mean; for a KL nothing asks for it.
    """

    target: Target

    def estimate(self, x: np.ndarray) -> Estimate:
        """What is reached at `x` (1,), and its gradient."""
        if self.target.kl is None:
            return super().estimate(x)
        return kl_estimate(self.pool, self.prompts, *self._at(x), self.strata)

    def score(self, estimate_: Estimate) -> tuple[float, float]:
        """How far from the target an estimate is, and its standard error."""
        return abs(estimate_.value - self.target.value), estimate_.value_se

    @property
    def degrees(self) -> float | Degrees:
        """Of a target's variance: few samples may carry it, of one prompt too."""
        return degrees_of_carriers if self.strata is None else super().degrees

    @property
    def gates(self) -> Gates:
        """Those that an estimate has to pass."""
        if self.target.kl is not None:
            return GATES_OF_KL
        return replace(super().gates, tail_of_gradient=False)

    def examine_rows(self, estimate_: Estimate, gates: Gates) -> Diagnostics:
        """By its value, on which the interval rests."""
        return examine(equation(estimate_), [0], gates, of="estimate")


def equation(e: Estimate) -> Estimate:
    """The estimate as that of an equation, value = target: of what a gradient is elsewhere."""
    value, influence = np.array([e.value]), e.value_influence[:, None]
    of_value = replace(e, gradient=value, gradient_influence=influence)
    if not isinstance(of_value, EstimateWithin):
        return of_value
    correction, of_prompts = np.array([of_value.value_correction]), of_value.values[:, None]
    return replace(of_value, gradient_correction=correction, gradients=of_prompts)
