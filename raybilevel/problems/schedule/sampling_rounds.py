"""What the schedule problem's driver does in rounds of sampling: begin, update, end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybilevel.metrics.fid_kid import Moments
from raybilevel.problems.base import EVALUATED, Arrays, Output, Stage, Status, Stop, Update
from raybilevel.problems.schedule.comparison import Real, compare, list_subjects, real_arrays
from raybilevel.problems.schedule.components import Source
from raybilevel.problems.schedule.convergence import why_stop
from raybilevel.problems.schedule.objective import (
    Fid,
    Kid,
    Mean,
    Metric,
    Objective,
    measure,
    of_points,
)
from raybilevel.problems.schedule.optimizer import Metrics, Solver, Term
from raybilevel.problems.schedule.shards import Plan
from raybilevel.problems.schedule.space import Search
from raybilevel.problems.schedule.worker import MOST_REAL

_LOOKS = 4  # at where to begin
_KEEP = 2  # one of so many is looked at again


@dataclass(frozen=True, eq=False)
class Rounds:
    """The driver's side of whatever samples.

    Attributes
    ----------
    plan, search, solver, source : shards, variables, steps, model and data.
    metric : what is minimised.
    compare_steps : numbers of steps that stock schedulers are given beside the search's own.
    fixed : whether x is given, and nothing searched.
    """

    plan: Plan
    search: Search
    solver: Solver
    source: Source
    metric: Metric
    compare_steps: tuple[int, ...]
    fixed: bool

    def see(self, state: Arrays, done: list[Output]) -> Stage | Arrays:
        """Real images of both folds; then the state that knows them."""
        seen = len(done)
        if seen < self.folds:
            count = len(self.source.folds[seen].images)
            return self.plan.real(0, seen, seen, min(count, MOST_REAL) if seen else count)
        return state | real_arrays(done[0].sums, done[1].rows)

    @property
    def folds(self) -> int:
        """How many stages `see` takes."""
        return len(self.source.folds)

    def begin(self, round_: int, state: Arrays, done: list[Output], number: int) -> Stage | Update:
        """Look at many schedules, at fewer and fewer of them more closely; begin at the best.

        Successive halving (Jamieson & Talwalkar 2016, arXiv 1502.07943); a look adds its samples to
        those of the looks before.
        """
        starts, stock = self.starts()
        objective = self.objective(state)
        field = list(range(len(starts)))
        seen: list[list[Moments | Mean]] = [[] for _ in starts]
        for rung, looked in enumerate(done):
            new = of_points(objective, looked.rows, len(field))
            seen = [[*before, *parts] for before, parts in zip(seen, new, strict=True)]
            found = [measure(objective, parts) for parts in seen]
            ranking = np.argsort([value for value, _ in found], kind="stable").tolist()
            if offered := [field[i] for i in ranking if field[i] < stock]:  # by diffusers
                state = state | {"x_before": starts[offered[0]]}
            if rung == _LOOKS - 1:
                best = ranking[0]
                return Update(*self.solver.begin(state, starts[field[best]], found[best]))
            kept = ranking[: math.ceil(len(field) / _KEEP)]
            field, seen = [field[i] for i in kept], [seen[i] for i in kept]
        points = [self.search.levels(starts[i]) for i in field]
        return self.plan.look(len(done), round_, number, state, points)

    def starts(self) -> tuple[list[np.ndarray], int]:
        """Where the search may begin, and how many of these, the first, are stock spacings."""
        from raybilevel.lower.sampling.stock_schedulers import stock_levels_visited

        visited = stock_levels_visited(self.source.info.scheduler, self.search.steps)
        return self.search.starts(visited.values()), len(visited)

    def objective(self, state: Arrays) -> Objective:
        """What is minimised, and to what."""
        return Fid(Real.of(state, "objective").train) if self.metric == "fid" else Kid()

    def update(
        self,
        round_: int,
        state: Arrays,
        done: list[Output],
        number: int,
        *,
        update: int,
        term: Term | None = None,
    ) -> Stage | Update:
        """Pairs about the state's x, and the step from them, the run's `update`-th from 1."""
        if not done:
            points = self.solver.points(self.solver.pairs(update, state))
            return self.plan.evaluate(round_, number, state, points)
        return Update(*self.solver.step(update, state, self.objective(state), done[0], term))

    def evaluate(
        self,
        round_: int,
        state: Arrays,
        done: list[Output],
        number: int,
        *,
        noises: int | None = None,
    ) -> Stage | tuple[float, float]:
        """The objective at the state's x, and its standard error; on the round's noises, if any."""
        if not done:
            points = [self.search.levels(state["x"])]
            return self.plan.evaluate(round_, number, state, points, noises)
        objective = self.objective(state)
        return measure(objective, objective.parts(done[0].rows))

    def end(
        self, round_: int, state: Arrays, done: list[Output], found: Sequence[np.ndarray]
    ) -> Stage | Update:
        """Take the best of the points found, on new noises; compare it, and stop."""
        if not done:
            points = [self.search.levels(x) for x in found]
            if self.fixed:
                return self.plan.evaluate(round_, 0, state, points)
            return self.plan.look(_LOOKS, round_, 0, state, points)
        objective = self.objective(state)
        seen = of_points(objective, done[0].rows, len(found))
        measured = [measure(objective, parts) for parts in seen]
        best = int(np.argmin([value for value, _ in measured]))
        state = state | {"x": found[best]}
        if not self.plan.compared:
            return Update(state, self._last_row(state, measured[best], 0), self._stop(state))
        subjects = self.subjects(state)
        if len(done) == 1:
            return self.plan.compare(round_, 1, state, subjects)
        rows, size = done[1].rows, len(subjects)
        evaluations = rows["steps"].reshape(size, -1)[:, 0]
        ended = {
            "comparison": compare(state, rows, size),
            "comparison_steps": evaluations,
            "shown": rows["shown"],
        }
        return Update(
            state | ended, self._last_row(state, measured[best], done[1].nfe), self._stop(state)
        )

    def _stop(self, state: Arrays) -> Stop:
        if self.fixed:
            return EVALUATED
        if not len(state["trace"]):
            return Stop(
                Status.BUDGET,
                f"none of the {self.solver.updates} updates was made, as their rounds' training "
                "came to nothing; train longer, or at a lower learning_rate",
            )
        u = self.search.to_unit(state["x"])
        return why_stop(self.search.schedule.variables, u, state["gradients"])

    def subjects(self, state: Arrays) -> list[dict[str, Any]]:
        """What is compared: learned levels, those begun with, their stock form, and the rivals."""
        return list_subjects(self.search, self.source, state, self.compare_steps, fixed=self.fixed)

    def _last_row(self, state: Arrays, measured: tuple[float, float], nfe: int) -> Metrics:
        values = zip(self.search.schedule.variables, state["x"], strict=True)
        row = {f"config/{v.name}": float(x) for v, x in values}
        return row | {
            "upper_loss": measured[0],
            "upper_loss_se": measured[1],
            "fid_floor": Real.of(state, "objective").floor,
            "fid_second_floor": Real.of(state, "second").floor,
            "nfe_comparison": float(nfe),
        }
