"""The objective at given ends of schedule problems, all on the same noises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybilevel.problems.base import Arrays, Problem, Update
from raybilevel.problems.evaluation import Evaluation, evaluated
from raybilevel.problems.schedule.sampling_rounds import SamplingRounds, Stages

EVALUATION_NOISES = 0  # the number of the set that all ends are evaluated on


class SamplingEvaluation(Evaluation):
    """Evaluates an end a round, with the network as it is; round 0 sees the real images first.

    Parameters
    ----------
    problem, ends : as `Evaluation` takes them.
    rounds : the problem's.
    """

    def __init__(self, problem: Problem, ends: Sequence[Arrays], rounds: SamplingRounds) -> None:
        super().__init__(problem, ends)
        self._rounds = rounds

    def init(self, seed: int) -> Arrays:
        """The problem's, at the first end's x; nothing is evaluated yet."""
        return self.problem.init(seed) | {"x": self.ends[0]["x"], "evaluated": np.empty((0, 2))}

    def run_round(self, round_: int, state: Arrays) -> Stages[Update]:
        """Evaluate the end of the round's number."""
        if round_ == 0:
            state = yield from self._rounds.see(state)
        end = self.ends[round_]
        found = yield from self._rounds.evaluate(EVALUATION_NOISES, end["x"], state, {})
        return noted(self._rounds, state | {"x": end["x"]}, found, len(self.ends))

    def planned_rounds(self, state: Arrays) -> int:
        """One for each end."""
        return len(self.ends)


def noted(rounds: SamplingRounds, state: Arrays, found: tuple[float, float], ends: int) -> Update:
    """The update of a round that evaluated an end: the last one of all ends ends the run."""
    state = state | {"evaluated": np.vstack([state["evaluated"], found])}
    row = rounds.optimizer.row(state["x"], *found)
    if len(state["evaluated"]) < ends:
        return Update(state, row)
    return evaluated(state, [(float(f), float(se)) for f, se in state["evaluated"]], row)
