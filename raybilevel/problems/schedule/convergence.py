"""How a schedule run ends, and what that means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from raybilevel.problems.base import Status, Stop
from raybilevel.problems.schedule.optimizer import late
from raybilevel.upper.variables import Variable

_CHANCE = 0.01  # that a gradient of zero is taken for one that is not, among all variables
_TOUCHES = 0.01  # of the box
_FEWEST = 3  # updates that can tell


def why_stop(variables: Sequence[Variable], u: np.ndarray, gradients: np.ndarray) -> Stop:
    """The end after all updates.

    Parameters
    ----------
    u : (d,) unit coordinates of what was found.
    gradients : (updates, d) in unit coordinates.
    """
    last = gradients[-late(len(gradients)) :]
    falls, rises = _slopes(last)
    held = ((u < _TOUCHES) & rises) | ((u > 1 - _TOUCHES) & falls)
    if len(last) < _FEWEST:
        return Stop(
            Status.BUDGET,
            f"{len(gradients)} updates were made, too few to tell whether the objective still "
            f"falls; give {2 * _FEWEST - 1} or more in a new run",
        )
    if np.any((falls | rises) & ~held):
        return Stop(
            Status.BUDGET,
            f"{len(gradients)} updates were made and the objective still falls: the mean gradient "
            f"of the last {len(last)} is not zero; give more in a new run",
        )
    stuck = [v.name for v, is_held in zip(variables, held, strict=True) if is_held]
    if stuck:
        return Stop(
            Status.AT_BOUND,
            f"the objective still falls at the bound of {', '.join(stuck)}, where what the network "
            "was trained on ends, or what schedule_options allow",
        )
    return Stop(
        Status.CONVERGED,
        f"the mean gradient of the last {len(last)} of {len(gradients)} updates cannot be told "
        "from zero",
    )


def _slopes(gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the objective surely falls, and rises, as a variable grows: (d,), (d,).

    By Student's t over the updates, whose noises and directions are independent.
    """
    k, d = gradients.shape
    if k < _FEWEST:
        return np.zeros(d, bool), np.zeros(d, bool)
    mean, se = gradients.mean(axis=0), gradients.std(axis=0, ddof=1) / np.sqrt(k)
    sure = stdtrit(k - 1, 1 - _CHANCE / (2 * d)) * se
    return mean < -sure, mean > sure
