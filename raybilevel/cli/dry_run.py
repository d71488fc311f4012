"""What a run would do, said before anything is begun."""

from __future__ import annotations

from raybilevel.config.settings import RunConfig
from raybilevel.problems.base import Problem
from raybilevel.report.table import Line


def said_of(problem: Problem, run: RunConfig) -> list[Line]:
    """What is tuned, NFE that are known, and the budget; the configuration is right by then."""
    tuned = [f"{v.name} in {v.low:g} to {v.high:g}, from {v.init:g}" for v in problem.variables]
    costs = [("NFE", f"{nfe:,} {what}") for what, nfe in problem.costs().items()]
    most = "no run.max_nfe: it goes on until it ends by itself"
    budget = most if run.max_nfe is None else f"run.max_nfe {run.max_nfe:,}"
    return [("tuned", one) for one in tuned] + costs + [("at most", budget)]
