"""The objective at given points, without a search: what every problem's evaluations share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from raybilevel.problems.base import EVALUATED, Arrays, Problem, Update, Worker
from raybilevel.upper.variables import Variable


class Evaluation(Problem):
    """Says what a problem's objective is at each of `ends`; a problem of its own.

    A subclass has `init` and `run_round`, whose last round ends with `evaluated`.

    Parameters
    ----------
    problem : whose objective it is.
    ends : states of its runs and evaluations, or what is left of them: "x" (d,) at least.
    """

    def __init__(self, problem: Problem, ends: Sequence[Arrays]) -> None:
        self.problem, self.ends = problem, list(ends)

    @property
    def exact(self) -> bool:
        """The problem's."""
        return self.problem.exact

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The problem's."""
        return self.problem.variables

    def check(self) -> None:
        """What the problem refuses."""
        self.problem.check()

    def worker(self, device: str) -> Worker:
        """The problem's."""
        return self.problem.worker(device)

    def export(self, state: Arrays, directory: Path) -> None:
        """Scores are in the state; nothing else is left behind."""

    def planned_rounds(self, state: Arrays) -> int:
        """One, unless a subclass needs more."""
        return 1


def evaluated(
    state: Arrays, scores: Sequence[tuple[float, float]], row: Mapping[str, float] | None = None
) -> Update:
    """The update that ends an evaluation.

    Parameters
    ----------
    scores : the objective and its standard error at each end, in their order.
    row : what the history says of the last end beside `upper_loss` and `upper_loss_se`.
    """
    values, errors = np.array(scores).T
    last = {"upper_loss": float(values[-1]), "upper_loss_se": float(errors[-1])}
    return Update(
        {**state, "scores": values, "scores_se": errors}, {**(row or {}), **last}, EVALUATED
    )
