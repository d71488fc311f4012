"""Where the ladder goes next: towards what a search was refused, or to where it has ended."""

from __future__ import annotations

import numpy as np

from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.groups.joint import JointObjective
from raybilevel.problems.reward.groups.objective import GroupedObjective
from raybilevel.problems.reward.groups.solution import GroupedSolution
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.upper.newton import Termination
from raybilevel.upper.variables import Box

_LENGTH = 1.0
"""Of what is looked ahead, in scaled coordinates: a rung goes as far of it as samples do."""

_PAST = 2.0  # more than a rung can be away


def heading(solution: PoolSolution, past: bool = False) -> np.ndarray:
    """The s (C, K) of each prompt to go towards.

    Parameters
    ----------
    past : beyond an optimum inside the box, which is known better from both of its sides.
    """
    objective = solution.point.objective
    strata = objective.strata
    assert strata is not None, "samples are moved"
    found = np.empty(strata.scales.shape[1:])
    if isinstance(solution, GroupedSolution) and isinstance(objective, GroupedObjective):
        of = np.array(objective.groups)
        for group, part in solution.parts.items():
            found[of == group] = heading(part, past)
        return found
    x = _beyond(solution)
    times = _PAST if past and solution.termination is Termination.INTERIOR else 1.0
    if isinstance(objective, JointObjective):
        of = np.array(objective.groups)
        for group, places in objective.coefficients.places.items():
            found[of == group] = times * _scales(objective.coefficients.parts[group], x[places])
        return found
    found[:] = times * _scales(objective.coefficients, x)
    return found


def _scales(coefficients: Coefficients, x: np.ndarray) -> np.ndarray:
    """Give s = w / lambda (K,) at x (d,)."""
    lambda_, *weights = coefficients.at(x)
    return np.array(weights) / lambda_


def _beyond(solution: PoolSolution) -> np.ndarray:
    """What lies beyond where a search was refused, inside the box; else where it has ended."""
    objective: PoolObjective = solution.point.objective
    if solution.termination is None:  # believed nowhere: first to what is nearest to p0
        return objective.coefficients.safest
    if solution.termination is not Termination.FRONTIER or solution.refused_x is None:
        return solution.x
    box = Box(objective.variables)
    z, refused = box.to_scaled(solution.x), box.to_scaled(solution.refused_x)
    step = refused - z
    return box.from_scaled(z + _LENGTH * step / np.max(np.abs(step)))
