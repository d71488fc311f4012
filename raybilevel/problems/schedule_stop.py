"""How a schedule run ends, and what that means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybilevel.problems.base import Status, Stop
from raybilevel.upper.variables import Variable

_SURE = 2.58  # standard errors, for 99 % of one variable's gradient
_TOUCHES = 0.01  # of the box


def why_stop(
    variables: Sequence[Variable],
    u: np.ndarray,
    gradient: np.ndarray,
    gradient_se: np.ndarray,
    updates: int,
) -> Stop:
    """The end after all updates.

    Parameters
    ----------
    u : (d,) unit coordinates of what was found.
    gradient, gradient_se : (d,) of the last update.
    """
    falls = np.abs(gradient) > _SURE * gradient_se
    outward = np.where(gradient > 0, u < _TOUCHES, u > 1 - _TOUCHES)
    stuck = [v.name for v, f, o in zip(variables, falls, outward, strict=True) if f and o]
    if np.any(falls & ~outward):
        return Stop(
            Status.BUDGET,
            f"{updates} updates were made and the objective still falls; raise updates to go on "
            "from the start with more",
        )
    if stuck:
        return Stop(
            Status.AT_BOUND,
            f"the objective still falls at the bound of {', '.join(stuck)}: beyond it the network "
            "was not trained, or schedule_options say so",
        )
    return Stop(
        Status.CONVERGED, "the gradient of the last update is zero within its standard error"
    )
