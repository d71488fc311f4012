"""Where samples go next: towards what a search was refused, or to where it has ended."""

from __future__ import annotations

import numpy as np

from raybilevel.problems.reward.groups.objective import GroupedObjective
from raybilevel.problems.reward.groups.scales import scales_at
from raybilevel.problems.reward.groups.solution import GroupedSolution
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.upper.optimisers.newton import Termination
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
    assert objective.prompts is not None, "samples are moved or guided, one prompt's too"
    count, groups = len(objective.prompts.shares), None
    if isinstance(objective, GroupedObjective):
        groups = objective.groups
        if isinstance(solution, GroupedSolution):
            found = {group: heading(part, past)[0] for group, part in solution.parts.items()}
            return np.stack([found[group] for group in groups])
    times = _PAST if past and solution.termination is Termination.INTERIOR else 1.0
    return times * scales_at(objective.coefficients, _beyond(solution), count, groups)


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
