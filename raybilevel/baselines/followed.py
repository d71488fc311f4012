"""The bilevel method as one of the compared: its history, and where it stood after every round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.baselines.outcome import Outcome, end_of
from raybilevel.problems.base import Problem
from raybilevel.report.standing import FOLLOWED

if TYPE_CHECKING:
    import pandas as pd

    from raybilevel.result import Result

_COSTS = ("time_total_s", "nfe_total", "worker_seconds_total")


def follow(problem: Problem, result: Result, seed: int) -> Outcome:
    """The outcome of a run that has ended.

    Where it trained a network there is one end, that network's; else every round's x is one.
    """
    history, state = result.get_dataframe(), result.state
    rows = _rows(problem, history, seed)
    last = end_of(state)
    if "average" in state:
        return Outcome(rows, [last], np.array([len(rows) - 1]))
    x = rows[[f"config/{v.name}" for v in problem.variables]].to_numpy(float)
    at = np.arange(len(rows))
    return Outcome(rows, [*({"x": x[i]} for i in at[:-1]), last], at)


def _rows(problem: Problem, history: pd.DataFrame, seed: int) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {
        "method": FOLLOWED,
        "seed": seed,
        "trial_id": FOLLOWED,
        "training_iteration": history["training_iteration"],
        **{name: history[name] for name in _COSTS},
        "upper_evaluations": _evaluations(problem, history),
        "upper_loss": history["upper_loss"],
    }
    named = [f"config/{v.name}" for v in problem.variables]
    return pd.DataFrame(columns | {name: history[name] for name in named})


def _evaluations(problem: Problem, history: pd.DataFrame) -> Any:
    """Upper evaluations so far: counted where they are free, else what the NFE would pay for."""
    if "upper_evaluations" in history:
        return history["upper_evaluations"].fillna(0).cumsum()
    return history["nfe_total"] / problem.evaluation_cost().whole
