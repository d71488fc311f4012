"""The ends of schedule runs and trials, all on the same noises that nobody tuned on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from raybilevel.problems.base import Arrays, Output, Stage, Update
from raybilevel.problems.schedule_lesson import SAMPLED
from raybilevel.problems.scoring import Scoring, scored

if TYPE_CHECKING:
    from raybilevel.problems.schedule import ScheduleTuning


class ScheduleScoring(Scoring):
    """Draws samples at every end's levels, with its network where it was trained."""

    problem: ScheduleTuning

    def init(self, seed: int) -> Arrays:
        """Where the noises begin."""
        return self.problem.init(seed)

    def stage(self, round_: int, state: Arrays, done: list[Output]) -> Stage | Update:
        """Real images; then the ends, one after the other."""
        rounds = self.problem.rounds
        seen = rounds.see(state, done)
        if isinstance(seen, Stage):
            return seen
        drawn, found = done[rounds.folds :], []
        for i, end in enumerate(self.ends):
            at = seen | {"x": end["x"]}
            step = rounds.evaluate(round_, at, drawn[i : i + 1], len(done))
            if isinstance(step, Stage):
                return _sampled(step, end)
            found.append(step)
        return scored(seen, found)


def _sampled(stage: Stage, end: Arrays) -> Stage:
    """With the end's network, if it trained one."""
    if "average" not in end:
        return stage
    return replace(stage, broadcast={**stage.broadcast, SAMPLED: end["average"]})
