"""The ends of reward runs and trials, all on one pool that nobody tuned on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raybilevel.problems.base import Arrays, Output, Stage, Update
from raybilevel.problems.evaluation import Scoring, scored

if TYPE_CHECKING:
    from raybilevel.problems.reward.problem import RewardTuning


class RewardScoring(Scoring):
    """Draws one pool, and evaluates the objective at every end's x."""

    problem: RewardTuning

    def init(self, seed: int) -> Arrays:
        """An empty pool."""
        return self.problem.init(seed) | {"x": self.ends[0]["x"]}

    def stage(self, round_: int, state: Arrays, done: list[Output]) -> Stage | Update:
        """The pool; then the objectives."""
        names = [v.name for v in self.variables]
        trial = self.problem.trial(dict(zip(names, state["x"].tolist(), strict=True)))
        step = trial.stage(round_, state, done)
        if isinstance(step, Stage):
            return step
        solver = self.problem.solver(step.state)
        found = [solver.exact(end["x"]) for end in self.ends]
        return scored(step.state, [(e.value, e.value_se) for e in found])
