"""Whether a ladder ends: it goes on as long as the optimum lies beyond its last rung."""

from __future__ import annotations

from dataclasses import replace

from raybilevel.problems.base import Status, Stop
from raybilevel.problems.reward.convergence import StopReason, endings, joined_stop
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.upper.diagnostics import Diagnostics
from raybilevel.upper.island_gates import IslandGates

_BEYOND = (StopReason.FRONTIER, StopReason.NOWHERE)
_FEWEST, _MOST = 2, 5
"""Rungs that are drawn once nothing lies beyond: past the optimum, on it, and for a flat objective
more of them, to show a curvature. An optimum that nobody knows moves from rung to rung, and would
be followed for ever; one that is believed as soon as it may be is believed by chance."""

_REMEDY = "raise pool_size"


def is_beyond(solution: PoolSolution) -> bool:
    """Whether the optimum, of some group at least, lies beyond what can be believed."""
    return any(ending.reason in _BEYOND for ending in endings(solution).values())


def stop_of_ladder(solution: PoolSolution, size: int, arrived: int) -> Stop | None:
    """Why to end with the rungs that there are; None where another should be drawn.

    Parameters
    ----------
    size : of a rung, which is what a user may raise.
    arrived : rungs that were drawn since nothing lay beyond for the first time.
    """
    found = endings(solution)
    for ending in found.values():
        if ending.reason in _BEYOND:
            refused = ending.solution.refused
            assert refused is not None, "what was refused was looked at"
            return _disagreeing(refused)
    if arrived < _FEWEST or (
        arrived < _MOST and any(ending.reason is StopReason.FLAT for ending in found.values())
    ):
        return None
    share = size / solution.n
    return joined_stop(
        {group: replace(ending, times=share * ending.times) for group, ending in found.items()},
        _REMEDY,
    )


def _disagreeing(refused: Diagnostics) -> Stop | None:
    """The end of a ladder whose islands do not agree any more; None where they do."""
    gates = IslandGates()
    if refused.log_z_sd <= gates.max_log_z_sd or refused.overlap < gates.min_overlap:
        return None
    return Stop(
        Status.STOPPED,
        "best_params is as far as samples in islands can be believed, and no optimum: beyond, "
        f"islands disagree about log Z by {refused.log_z_sd:.2f} (it must be "
        f"{gates.max_log_z_sd:.1f}); "
        "raise pool_size, for more samples an island, or the low bound of lambda",
    )
