"""What scores the ends of other problems' runs: a problem of its own, without a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from raybilevel.problems.base import EVALUATED, Arrays, Problem, Update, Worker
from raybilevel.upper.variables import Variable


class Scoring(Problem):
    """Draws samples with each end, and says what the objective is there.

    Parameters
    ----------
    problem : whose ends they are, with as many samples as an end is scored on.
    ends : states of its runs and trials.
    """

    def __init__(self, problem: Problem, ends: Sequence[Arrays]) -> None:
        self.problem, self.ends = problem, list(ends)

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

    def trial(self, x: Mapping[str, float]) -> NoReturn:
        """There is none."""
        raise AssertionError("what scores is not searched")

    def export(self, state: Arrays, directory: Path) -> None:
        """Scores are in the state; nothing else is left behind."""

    def planned_rounds(self, state: Arrays) -> int:
        """All in one."""
        return 1


def scored(state: Arrays, found: Sequence[tuple[float, float]]) -> Update:
    """The end of a scoring: objectives and their standard errors, end by end."""
    values, errors = np.array(found).T
    last = {"upper_loss": float(values[-1]), "upper_loss_se": float(errors[-1])}
    return Update(state | {"scores": values, "scores_se": errors}, last, EVALUATED)
