"""Why a reward run ends: each reason says what it means and what to do."""

from __future__ import annotations

import math
from enum import Enum

from raybilevel.problems.base import Status, Stop
from raybilevel.problems.reward.pool_solver import MIN_CURVATURE_Z, Found
from raybilevel.upper.newton import Outcome
from raybilevel.upper.variables import Variable


class Reason(Enum):
    """Ways to end, and their remedies."""

    CONVERGED = (
        Status.CONVERGED,
        "the gradient vanishes at best_params, and every health gate passes there",
    )
    AT_BOUND = (
        Status.AT_BOUND,
        "the objective still falls beyond the bound of {pinned}, so there is no interval; move "
        "that bound if the other side makes sense",
    )
    FRONTIER = (
        Status.STOPPED,
        "best_params is as far as a pool of {n} samples can be believed, and no optimum: the "
        "objective still falls beyond, where {failures}; {grow}, or put a price into the upper "
        "reward (realism, diversity), or raise the low bound of lambda",
    )
    NOWHERE = (
        Status.STOPPED,
        "a pool of {n} samples can be believed nowhere between init and p0 ({failures}); {grow}, "
        "or raise the high bound of lambda",
    )
    FLAT = (
        Status.STOPPED,
        "the objective is flat around best_params for all that a pool of {n} samples can tell "
        "(curvature {curvature:.1f} standard errors above zero, {needed_curvature:.0f} are "
        "needed); {grow}, or check that the upper reward depends on what is tuned",
    )
    EXHAUSTED = (
        Status.STOPPED,
        "the search did not converge in its iterations; look at the picture of the objective, and "
        "narrow the bounds",
    )

    def stop(self, **facts: object) -> Stop:
        """The stop with its facts filled in."""
        status, text = self.value
        return Stop(status, text.format(**facts))


def judge(found: Found) -> Reason:
    """Which reason a finished pool gives."""
    if found.outcome is None:
        return Reason.NOWHERE
    if found.outcome is Outcome.FRONTIER:
        return Reason.FRONTIER
    if found.outcome is Outcome.AT_BOUND:
        return Reason.AT_BOUND
    if found.outcome is Outcome.EXHAUSTED:
        return Reason.EXHAUSTED
    return Reason.FLAT if _is_flat(found) else Reason.CONVERGED


def _is_flat(found: Found) -> bool:
    """Not finite is flat too: an objective that no sample moves has no curvature at all."""
    z = found.interval.curvature_z if found.interval else MIN_CURVATURE_Z
    return not MIN_CURVATURE_Z <= z < math.inf


def samples_needed(found: Found, reason: Reason, n: int) -> float:
    """The pool size at which the reason would go away; inf where no size helps, 0 where none is.

    A frontier asks for what its nearest refused point lacks, and moves on from round to round.
    """
    if reason is Reason.FLAT:
        assert found.interval is not None, "only an interior optimum is flat"
        z = found.interval.curvature_z
        return n * (MIN_CURVATURE_Z / z) ** 2 if 0 < z < math.inf else math.inf
    if reason in (Reason.FRONTIER, Reason.NOWHERE):
        assert found.refused is not None, "a frontier has a refused point"
        if found.refused.pareto_k >= 1:  # the estimate has no mean, whatever the size
            return math.inf
        return max(found.refused.samples_needed, n + 1)
    return 0.0


def explain(
    reason: Reason, found: Found, variables: tuple[Variable, ...], n: int, needed: float
) -> Stop:
    """The reason with the facts of this run in its text."""
    pinned = [v.name for v, held in zip(variables, found.pinned, strict=True) if held]
    return reason.stop(
        n=f"{n:,}",
        pinned=" and ".join(pinned),
        failures=", ".join(found.refused.failures) if found.refused else "",
        curvature=found.interval.curvature_z if found.interval else math.nan,
        needed_curvature=MIN_CURVATURE_Z,
        grow=_grow(found, needed),
    )


def _grow(found: Found, needed: float) -> str:
    """What a larger pool could do, to two digits: it is a guess from this one."""
    if math.isinf(needed):
        return "more samples will not help"
    if found.ahead is None or not found.ahead.failures:
        return f"raise max_pool_size (to {math.ceil(needed):,} or more)"
    wanted = float(f"{max(found.ahead.samples_needed, needed):.2g}")
    return f"raise max_pool_size (the optimum that it shows beyond asks for about {wanted:,.0f})"
