"""The ends of schedule runs and trials, all on the same noises that nobody tuned on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage, Update
from raybilevel.problems.evaluation import Scoring, scored
from raybilevel.problems.schedule.training_spec import SAMPLED

if TYPE_CHECKING:
    from raybilevel.problems.schedule.problem import ScheduleTuning


class ScheduleScoring(Scoring):
    """Draws samples at every end's levels, with its network where it was trained."""

    problem: ScheduleTuning

    def init(self, seed: int) -> Arrays:
        """Where the noises begin."""
        return self.problem.init(seed) | {"scored": np.empty((0, 2))}

    def stage(self, round_: int, state: Arrays, done: list[Output]) -> Stage | Update:
        """Real images first; then an end a round, all on the noises of round 0."""
        rounds = self.problem.rounds
        if round_ == 0:
            seen = rounds.see(state, done)
            nothing = {"upper_loss": math.nan}
            return seen if isinstance(seen, Stage) else Update(seen, nothing)
        end = self.ends[round_ - 1]
        found = rounds.evaluate(round_, state | {"x": end["x"]}, done, 0, noises=0)
        if isinstance(found, Stage):
            return _sampled(found, end)
        state = state | {"x": end["x"], "scored": np.vstack([state["scored"], found])}
        if round_ == len(self.ends):
            return scored(state, [(float(f), float(se)) for f, se in state["scored"]])
        return Update(state, {"upper_loss": found[0], "upper_loss_se": found[1]})

    def planned_rounds(self, state: Arrays) -> int:
        """One that sees the real images, and one for each end."""
        return 1 + len(self.ends)


def _sampled(stage: Stage, end: Arrays) -> Stage:
    """With the end's network, if it trained one."""
    if "average" not in end:
        return stage
    return replace(stage, broadcast={**stage.broadcast, SAMPLED: end["average"]})
