"""The objective at given ends of training schedules, whose networks are trained where needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from raybilevel.problems.base import Arrays, Problem, Update
from raybilevel.problems.evaluation import Evaluation
from raybilevel.problems.schedule.evaluation import EVALUATION_NOISES, noted
from raybilevel.problems.schedule.network import Untrained
from raybilevel.problems.schedule.sampling_rounds import Stages
from raybilevel.problems.schedule.training.joint_training import JointTraining
from raybilevel.problems.schedule.training.network_training import average_of, first_state


class TrainingEvaluation(Evaluation):
    """Evaluates an end a round, with its network; one that has none trains at its x before.

    Round 0 sees the real images. While an end trains, the objective is known after every
    `evaluate_every` rounds.

    Parameters
    ----------
    problem, ends : as `Evaluation` takes them.
    training : the problem's, whose schedule is not moved here.
    network : that is trained.
    """

    def __init__(
        self,
        problem: Problem,
        ends: Sequence[Arrays],
        training: JointTraining,
        network: Untrained,
    ) -> None:
        super().__init__(problem, ends)
        self._training = replace(training, updates=0)
        self._network = network

    def init(self, seed: int) -> Arrays:
        """The problem's, at the first end's x, and the seed of first weights."""
        more = {"seed": np.array(seed), "evaluated": np.empty((0, 2))}
        return self.problem.init(seed) | more | {"x": self.ends[0]["x"]}

    def run_round(self, round_: int, state: Arrays) -> Stages[Update]:
        """See the real images, train at an end's x, or evaluate an end."""
        rounds = self._training.rounds
        if round_ == 0:
            seen = yield from rounds.see(state)
            return Update(seen, rounds.optimizer.row(state["x"], np.nan, np.nan))
        end, own = self._place(round_)
        state = state | {"x": end["x"]}
        if own < _rounds_of(end, self._training):
            return (yield from self._training.train(own, self._begun(own, state)))
        drawn_with = average_of(end if "average" in end else state)
        found = yield from rounds.evaluate(EVALUATION_NOISES, end["x"], state, drawn_with)
        return noted(rounds, state, found, len(self.ends))

    def _place(self, round_: int) -> tuple[Arrays, int]:
        """Which end a round from 1 on belongs to, and which of the end's rounds it is, from 1."""
        for end in self.ends:
            rounds = _rounds_of(end, self._training)
            if round_ <= rounds:
                return end, round_
            round_ -= rounds
        raise AssertionError("the last end's last round ends the run")

    def _begun(self, own: int, state: Arrays) -> Arrays:
        """With the network's first weights where an end's training begins."""
        if own > 1:
            return state
        return state | first_state(self._network.weights(int(state["seed"])))

    def planned_rounds(self, state: Arrays) -> int:
        """One that sees the real images, and those of each end."""
        return 1 + sum(_rounds_of(end, self._training) for end in self.ends)


def _rounds_of(end: Arrays, training: JointTraining) -> int:
    """One that evaluates, after those that train a network where the end has none."""
    return 1 if "average" in end else training.length + 1
