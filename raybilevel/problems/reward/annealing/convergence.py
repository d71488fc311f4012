"""Whether a ladder ends: it goes on as long as the optimum lies beyond its last rung."""

from __future__ import annotations

from raybilevel.problems.base import Status, Stop
from raybilevel.problems.reward.convergence import StopReason, endings, joined_stop
from raybilevel.problems.reward.pool_plan import PoolPlan
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.upper.diagnostics import Diagnostics
from raybilevel.upper.island_gates import IslandGates

_BEYOND = (StopReason.FRONTIER, StopReason.NOWHERE)
_LANDED = 0.98
"""Share of effective samples that a rung has where the ladder ends: it ends on one."""

_ON_THE_SPOT = 4
"""Rungs without a step that a flat objective is given to show a curvature."""


def stop_of_ladder(solution: PoolSolution, plan: PoolPlan, stayed: int) -> Stop | None:
    """Why to end with the rungs that there are; None where another should be drawn.

    Parameters
    ----------
    stayed : rungs before this one that took no step.
    """
    found = endings(solution)
    for ending in found.values():
        if ending.reason is StopReason.FLAT and stayed < _ON_THE_SPOT:
            return None
        if ending.reason not in _BEYOND and ending.solution.point.diagnostics.overlap < _LANDED:
            return None
        if ending.reason in _BEYOND:
            refused = ending.solution.refused
            assert refused is not None, "what was refused was looked at"
            return _disagreeing(refused)
    return joined_stop(found, plan.remedy)


def _disagreeing(refused: Diagnostics) -> Stop | None:
    """The end of a ladder whose islands do not agree any more; None where they do."""
    gates = IslandGates()
    if refused.log_z_sd <= gates.max_log_z_sd or refused.overlap < gates.min_overlap:
        return None
    return Stop(
        Status.STOPPED,
        f"best_params is as far as moved samples can be believed, and no optimum: beyond, islands "
        f"disagree about log Z by {refused.log_z_sd:.2f} (it must be {gates.max_log_z_sd:.1f}); "
        "raise pool_size, for more chains an island, or the low bound of lambda",
    )
