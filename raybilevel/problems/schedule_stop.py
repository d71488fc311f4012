"""How a schedule run ends, and what that means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybilevel.problems.base import Status, Stop
from raybilevel.upper.variables import Variable

_SURE = 2.58  # standard errors, for 99 % of one variable's gradient
_TOUCHES = 0.01  # of the box
_LATE = 1 / 3  # of the updates
_LITTLE = 0.05  # of the objective's whole fall


def why_stop(
    variables: Sequence[Variable],
    u: np.ndarray,
    gradient: np.ndarray,
    gradient_se: np.ndarray,
    losses: np.ndarray,
) -> Stop:
    """The end after all updates.

    Parameters
    ----------
    u : (d,) unit coordinates of what was found.
    gradient, gradient_se : (d,) of the last update.
    losses : (updates,) the objective before each update, on the same noises.
    """
    updates = len(losses)
    late = _late_share(losses)
    if late > _LITTLE:
        return Stop(
            Status.BUDGET,
            f"{updates} updates were made and the objective still falls (the last third brought "
            f"{late:.0%} of its fall); give more updates",
        )
    outward = np.where(gradient > 0, u < _TOUCHES, u > 1 - _TOUCHES)
    sure = np.abs(gradient) > _SURE * gradient_se
    stuck = [v.name for v, o in zip(variables, outward & sure, strict=True) if o]
    if stuck:
        return Stop(
            Status.AT_BOUND,
            f"the objective still falls at the bound of {', '.join(stuck)}, where what the network "
            "was trained on ends, or what schedule_options allow",
        )
    return Stop(
        Status.CONVERGED,
        f"the last third of {updates} updates brought {max(late, 0):.0%} of the objective's fall",
    )


def _late_share(losses: np.ndarray) -> float:
    """Share of the objective's fall that the last third of the updates brought."""
    before = losses[-1 - round(_LATE * len(losses))] if len(losses) > 2 else losses[0]
    fall = losses[0] - losses[-1]
    return float((before - losses[-1]) / fall) if fall > 0 else 0.0
