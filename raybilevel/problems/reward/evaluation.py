"""The reward problem's objective at given points, all on one pool that nobody tuned on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence

from raybilevel.problems.base import Arrays, Output, Problem, Stage, Update
from raybilevel.problems.evaluation import Evaluation, evaluated
from raybilevel.problems.reward.history import evaluated_row
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_plan import PoolPlan, grown, size_of


class RewardEvaluation(Evaluation):
    """Draws a pool, and evaluates the objective on it at every end's x.

    Parameters
    ----------
    problem, ends : as for `Evaluation`.
    pool_plan : how the pool is drawn; its size is its limit.
    objective : what gives the objective on a state's pool.
    beside : what a state's pool has beside where its samples are not p0's.
    """

    def __init__(
        self,
        problem: Problem,
        ends: Sequence[Arrays],
        pool_plan: PoolPlan,
        objective: Callable[[Arrays], PoolObjective],
        beside: Collection[str],
    ) -> None:
        super().__init__(problem, ends)
        self.pool_plan, self.objective, self._beside = pool_plan, objective, beside

    def init(self, seed: int) -> Arrays:
        """An empty pool, and the x of the end that the history's rows are about: the last."""
        begin = {k: v for k, v in self.problem.init(seed).items() if k not in self._beside}
        return {**begin, "x": self.ends[-1]["x"]}  # its samples are p0's

    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        """Draw a slice of the pool; evaluate the last end on what there is, and all at the end."""
        drawn = yield self.pool_plan.draw(state)
        state = grown(state, drawn.rows)
        objective = self.objective(state)
        last = objective.at(self.ends[-1]["x"])
        row = evaluated_row(last)
        if size_of(state) < self.pool_plan.size:
            return Update(state, row)
        scores = [objective.at(end["x"]).score for end in self.ends[:-1]]
        return evaluated(state, [*scores, last.score], row)

    def planned_rounds(self, state: Arrays) -> int:
        """As many as the pool takes."""
        return self.pool_plan.rounds(size_of(state))
