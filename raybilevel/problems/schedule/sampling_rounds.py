"""What a schedule problem's driver does with samples: begin, update, evaluate, end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from raybilevel.problems.base import Arrays, Metrics, Output, Stage, Stop, Update
from raybilevel.problems.schedule.comparison import (
    LEARNED,
    NEAREST,
    list_subjects,
)
from raybilevel.problems.schedule.components import Components
from raybilevel.problems.schedule.optimizer import PenaltyTerm, TwoPointOptimizer
from raybilevel.problems.schedule.real_images.judging import judge
from raybilevel.problems.schedule.real_images.objective import (
    Fid,
    Kid,
    Objective,
    ObjectiveName,
    measure,
    of_points,
)
from raybilevel.problems.schedule.real_images.reference import (
    Reference,
    floor_of,
)
from raybilevel.problems.schedule.real_images.seeing import see
from raybilevel.problems.schedule.shard_plan import ShardPlan
from raybilevel.problems.schedule.shards import Subject
from raybilevel.problems.schedule.space import ScheduleSpace
from raybilevel.problems.schedule.start import LOOKS, Contenders, Starts

T = TypeVar("T")

Stages = Generator[Stage, Output, T]
"""A part of a round: yields stages, and returns what it came to."""

MoreSubjects = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""Maps learned levels (steps,) to other levels that are compared with them, by name."""


@dataclass(frozen=True, eq=False)
class SamplingRounds:
    """Parts of rounds that draw samples.

    Where the run trains the network, `weights` is what they are drawn with, as it is broadcast;
    else it is empty.

    Attributes
    ----------
    plan, space, optimizer, components : shards, variables, steps, and what workers load.
    objective_name : what is minimised.
    compare_steps : numbers of steps that stock schedulers are given beside the space's own.
    more_subjects : what is compared beside the learned levels and stock schedulers.
    """

    plan: ShardPlan
    space: ScheduleSpace
    optimizer: TwoPointOptimizer
    components: Components
    objective_name: ObjectiveName
    compare_steps: tuple[int, ...]
    more_subjects: MoreSubjects

    def see(self, state: Arrays) -> Stages[Arrays]:
        """Real images of both folds, or statistics; returns the state that knows them."""
        return state | (yield from see(self.components.real))

    def begin(self, state: Arrays, weights: Arrays) -> Stages[Update]:
        """Look at many schedules, at fewer and fewer of them more closely; begin at the best."""
        objective, field = self.objective(state), Contenders.all_of(self.starts())
        for rung in range(LOOKS):
            field = field.halved() if rung else field
            levels = [self.space.levels(x) for x in field.points]
            looked = yield self.plan.look(state["seed_base"], rung, levels, weights)
            field = field.looked(objective, looked.rows)
        if field.best_stock is not None:
            state = state | {"x_before": field.best_stock}
        return Update(*self.optimizer.begin(state, field.points[0], field.found[0]))

    def starts(self) -> Starts:
        """Where the search may begin."""
        return Starts.of(self.space, self.components.info.scheduler)

    def objective(self, state: Arrays) -> Objective:
        """What is minimised, and to what."""
        if self.objective_name != "fid":
            return Kid()
        reference = Reference.of(state, "objective")
        assert reference is not None  # seen before anything is measured
        return Fid(reference.train)

    def update(
        self,
        noises: int,
        update: int,
        state: Arrays,
        weights: Arrays,
        term: PenaltyTerm | None = None,
    ) -> Stages[Update]:
        """Pairs about the state's x, and the step from them, the run's `update`-th from 1."""
        pairs = self.optimizer.pairs(update, state)
        levels = self.optimizer.levels(pairs)
        found = yield self.plan.evaluate(state["seed_base"], noises, levels, weights)
        return Update(
            *self.optimizer.step(
                update, state, pairs, found.rows, objective=self.objective(state), term=term
            )
        )

    def evaluate(
        self, noises: int, x: np.ndarray, state: Arrays, weights: Arrays
    ) -> Stages[tuple[float, float]]:
        """The objective at x (d,), and its standard error."""
        found = yield self.sample(noises, x, state, weights)
        objective = self.objective(state)
        return measure(objective, objective.parts(found.rows))

    def sample(self, noises: int, x: np.ndarray, state: Arrays, weights: Arrays) -> Stage:
        """The samples of one evaluation at x (d,)."""
        return self.plan.evaluate(state["seed_base"], noises, [self.space.levels(x)], weights)

    def choose(
        self, candidates: Sequence[np.ndarray], state: Arrays, weights: Arrays
    ) -> Stages[tuple[np.ndarray, tuple[float, float]]]:
        """The best x of several on new noises, its objective and the standard error of that."""
        levels = [self.space.levels(x) for x in candidates]
        looked = yield self.plan.look(state["seed_base"], LOOKS, levels, weights)
        objective = self.objective(state)
        sets = of_points(objective, looked.rows, len(candidates))
        found = [measure(objective, parts) for parts in sets]
        best = int(np.argmin([value for value, _ in found]))
        return candidates[best], found[best]

    def end(
        self, state: Arrays, found: tuple[float, float], stop: Stop, weights: Arrays
    ) -> Stages[Update]:
        """Compare the state's x, where the objective is `found`, with others; and stop."""
        nfe = 0
        if self.plan.compared:
            subjects = self.subjects(state)
            drawn = yield self.plan.compare(state["seed_base"], subjects, weights)
            state, nfe = state | _compared(state, drawn, len(subjects)), drawn.nfe
        return Update(state, self._last_row(state, found, nfe), stop)

    def subjects(self, state: Arrays) -> list[Subject]:
        """What is compared: learned levels, others of this schedule, and the stock schedulers."""
        ours = {LEARNED: self.space.levels(state["x"])}
        if "x_before" in state:
            ours[NEAREST] = self.space.levels(state["x_before"])
        ours |= self.more_subjects(ours[LEARNED])
        return list_subjects(ours, self.components.info.scheduler, self.compare_steps)

    def _last_row(self, state: Arrays, found: tuple[float, float], nfe: int) -> Metrics:
        values = zip(self.space.schedule.variables, state["x"], strict=True)
        row = {f"config/{v.name}": float(x) for v, x in values}
        return row | {
            "upper_loss": found[0],
            "upper_loss_se": found[1],
            "fid_floor": floor_of(state, "objective"),
            "fid_second_floor": floor_of(state, "second"),
            "nfe_comparison": float(nfe),
        }


def _compared(state: Arrays, drawn: Output, subjects: int) -> Arrays:
    """What a state keeps of the comparison."""
    features = {
        name.removeprefix("features/"): rows.reshape(subjects, -1, rows.shape[-1])
        for name, rows in drawn.rows.items()
        if name.startswith("features/")
    }
    return {
        "comparison": judge(state, features),
        "comparison_steps": drawn.rows["steps"].reshape(subjects, -1)[:, 0],
        "shown": drawn.rows["shown"],
    }
