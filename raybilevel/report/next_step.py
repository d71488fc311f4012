"""What to do with a run that has ended: what comes first in its report."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from raybilevel.problems.base import Status
from raybilevel.report.table import Line
from raybilevel.result import Result

_BAND = 1.96  # standard errors, for 95 %
_GOES_ON = (Status.BUDGET, Status.STOPPED)
_FARTHER = 10


def or_what_helps(to_use: Sequence[Line], result: Result) -> list[Line]:
    """What there is to use; and where nothing is, or more may be had, what would help."""
    goes_on = result.status in _GOES_ON
    steps = list(to_use)
    more = _larger(result) if goes_on else _beyond(result)
    if goes_on or more or not steps:
        steps.append(("what would help", result.reason))
    if goes_on or more:
        steps.append(("go on with", f"raybilevel run {result.path} --resume{more}"))
    return steps


def _beyond(result: Result) -> str:
    """A bound ten times as far, of a lambda that was held by it."""
    lambda_ = result.config.get("lambda_")
    if result.status != Status.AT_BOUND or not isinstance(lambda_, dict):
        return ""
    if isinstance(lambda_.get("low", {}), dict):  # groups have one each, perhaps one named "low"
        return ""
    found = result.best_params[lambda_["name"]]
    if math.isclose(found, lambda_["low"]):
        return f" lambda_.low={lambda_['low'] / _FARTHER:g}"
    if math.isclose(found, lambda_["high"]):
        return f" lambda_.high={lambda_['high'] * _FARTHER:g}"
    return ""


def _larger(result: Result) -> str:
    """What a run that was stopped by the size of its pool, or by a budget, may have more of."""
    config, run = result.config, result.config["run"]
    if result.status == Status.STOPPED and "raise max_pool_size" in result.reason:
        largest = max(int(result.metrics["pool_size"]), config["max_pool_size"] or 0)
        asked = re.search(r"asks for about ([\d,]+)", result.reason)
        enough = int(asked[1].replace(",", "")) if asked else 0
        return f" max_pool_size={max(4 * largest, enough)}"
    budgets = (("max_rounds", "rounds"), ("max_nfe", "nfe_total"))
    for name, spent in budgets if result.status == Status.BUDGET else ():
        if run[name] and result.summary[spent] >= run[name]:
            return f" run.{name}={2 * run[name]}"
    return ""


def mind_the_noise(gap: float, error: float) -> list[Line]:
    """Where learned levels are not told apart from those that the search began at.

    Parameters
    ----------
    gap : the objective by learned levels minus that by those, on fresh noises.
    error : its standard error.
    """
    if not abs(gap) <= _BAND * error:
        return []
    return [
        ("mind the noise", f"on fresh noises the objective differs by {gap:+.3g} from where the "
                           f"search began, which is known to {_BAND * error:.2g} (95 %): the two "
                           "are not told apart; more comparison.samples tell more"),
    ]  # fmt: skip
