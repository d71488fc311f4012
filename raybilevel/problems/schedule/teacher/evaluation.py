"""The objective at given ends, all on the same noises."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from raybilevel.problems.base import Arrays, Output, Problem, Stage, Update
from raybilevel.problems.evaluation import Evaluation, evaluated
from raybilevel.problems.schedule.teacher.rounds import TeacherRounds
from raybilevel.problems.schedule.teacher.shards import Through


class TeacherEvaluation(Evaluation):
    """Evaluates all ends in one round, at their real-valued levels.

    Parameters
    ----------
    problem, ends : as `Evaluation` takes them.
    rounds : the problem's.
    samples : noises.
    """

    def __init__(
        self, problem: Problem, ends: Sequence[Arrays], rounds: TeacherRounds, samples: int
    ) -> None:
        super().__init__(problem, ends)
        self._rounds, self._samples = rounds, samples

    def init(self, seed: int) -> Arrays:
        """The problem's, at the first end's x."""
        return self.problem.init(seed) | {"x": self.ends[0]["x"]}

    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        """Evaluate them all."""
        objective = self._rounds.objectives[-1]
        points = [np.asarray(end["x"], float) for end in self.ends]
        lists = [Through(sigmas=s, exact=True) for s in self._rounds.space.lists(points[0])]
        state = yield from objective.prepare(state, lists)
        state = yield from objective.with_noises(state, self._samples)
        trial = yield from self._rounds.tried(state, points, objective)
        scores = [trial.value(i) for i in range(len(points))]
        row = self._rounds.row(objective, points[-1], scores[-1], objective.noises(state))
        return evaluated(state | {"x": points[-1]}, scores, row)
