"""What the driver of a schedule with a teacher does before it ends: begin, and update."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.lower.sampling.level_lists.stock import spacings_of
from raybilevel.problems.base import Arrays, Metrics, Output, Stage, Update
from raybilevel.problems.schedule.real_images.images import RealImages
from raybilevel.problems.schedule.teacher.comparison import Metric, rival_choices
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.objectives.base import PairedObjective, SaidSlopes
from raybilevel.problems.schedule.teacher.objectives.data import DistanceToData
from raybilevel.problems.schedule.teacher.objectives.reward import MinusReward
from raybilevel.problems.schedule.teacher.objectives.teacher_distance import DistanceToTeacher
from raybilevel.problems.schedule.teacher.objectives.update import Trial
from raybilevel.problems.schedule.teacher.plan import PairPlan
from raybilevel.problems.schedule.teacher.settings import (
    GaussNewtonSettings,
    PairedEstimation,
    TeacherComparison,
)
from raybilevel.problems.schedule.teacher.shards import Survey, Through, Visit
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.upper.variables import Variable

_SLOPES = "slopes_"
"""How keys of a state begin that keep the last update's slopes."""


@dataclass(frozen=True, eq=False)
class TeacherRounds:
    """Parts of rounds.

    Attributes
    ----------
    model, plan, space : the pipeline, its noises, its levels.
    estimation, optimizer, comparison : as a user gave them.
    metric : what images are judged by, once the levels are near to the teacher's; None where the
        distance to the teacher is all.
    real : what they are held against, of FID and KID.
    """

    model: TaughtModel
    plan: PairPlan
    space: SigmaSpace
    estimation: PairedEstimation
    optimizer: GaussNewtonSettings
    comparison: TeacherComparison
    metric: Metric | None = None
    real: RealImages | None = None

    @cached_property
    def objectives(self) -> tuple[PairedObjective, ...]:
        """What levels are moved for, one after the other: the last is the objective."""
        parts = (self.plan, self.space, self.estimation)
        distance = DistanceToTeacher(*parts)
        if self.metric is None:
            return (distance,)
        if self.metric == "reward":
            return (distance, MinusReward(*parts))
        assert self.real is not None, "FID and KID are to data"
        return (distance, DistanceToData(*parts, self.metric, self.real))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The schedule's."""
        return self.space.inner.schedule.variables

    # --- where the search begins ------------------------------------------------------------------

    def begin(self, state: Arrays) -> Generator[Stage, Output, Update]:
        """Look at the spacings that the scheduler itself offers, and begin at the nearest."""
        objective = self.objectives[0]
        made = type(self.model.scheduler).__name__
        choices = tuple(
            {"class": made, "options": options} for options in spacings_of(made).values()
        )
        rivals = tuple(rival_choices(self.model, self.comparison).values())
        surveys = []
        for steps in self.space.counts:
            evaluations = self.model.evaluations(steps)
            survey = yield Stage((Survey(choices, steps, rivals, evaluations),))
            surveys.append(survey.rows["rival_steps"])
        lists = self.space.lists(state["x"])
        yield Stage(tuple(Visit(sigmas) for sigmas in lists))
        for each in self.objectives:
            drawn = [Through(sigmas=sigmas, exact=True) for sigmas in lists]
            state = yield from each.prepare(state, drawn)
        state = yield from objective.with_noises(state, objective.first)
        points = [self.space.nearest(sigmas) for sigmas in survey.rows["visited"]]
        trial = yield from self.tried(state, [state["x"], *points], objective)
        x = [state["x"], *points][trial.best]
        known = {"mu": survey.rows["mu"][0], "rival_steps": np.array(surveys)}
        known |= survey.sums | {"spacings": np.array(points)}
        return Update(
            state | known | {"x": x, "x_start": x},
            self.row(objective, x, trial.value(trial.best), objective.noises(state)),
        )

    def tried(
        self, state: Arrays, points: Sequence[np.ndarray], objective: PairedObjective
    ) -> Generator[Stage, Output, Trial]:
        """Values (d,) on all noises that there are, as they are."""
        lists = [sigmas for x in points for sigmas in self.space.lists(x)]
        drawn = [Through(sigmas=sigmas, exact=True) for sigmas in lists]
        scores = yield from objective.scores(state, drawn)
        return objective.trial(scores.reshape(len(scores), len(points), -1))

    # --- one update -------------------------------------------------------------------------------

    def unsettled(self, state: Arrays) -> int | None:
        """The objective that is to be updated for: the first that is not done with."""
        open_ = ~state["settled"] & (state["updates"] < self.optimizer.updates)
        return int(np.argmax(open_)) if open_.any() else None

    def update(self, state: Arrays, which: int) -> Generator[Stage, Output, Update]:
        """A step from the state's x; where its gain is not sure, twice the noises from then on."""
        objective = self.objectives[which]
        if which and not state["updates"][which]:
            state = yield from self.begin_anew(state, objective)
        x, noises = state["x"], objective.noises(state)
        slopes = yield from objective.slopes(state)
        points = [x, *slopes.tried(self.space, x)]
        trial = yield from self.tried(state, points, objective)
        row = self.row(objective, x, trial.value(0), noises, slopes)
        one = np.arange(len(self.objectives)) == which
        found = _without_slopes(state) | _kept(slopes, x, noises)
        found = found | {"updates": state["updates"] + one}
        chosen, little = objective.chosen(trial), objective.is_little(trial)
        found = found | {"x": points[chosen]}
        if noises < objective.most and (little or not trial.is_sure(chosen)):
            found = yield from objective.with_noises(found, min(2 * noises, objective.most))
        elif little:
            found = found | {"settled": state["settled"] | one}
        return Update(found, row)

    def begin_anew(
        self, state: Arrays, objective: PairedObjective
    ) -> Generator[Stage, Output, Arrays]:
        """Go to the best spacing where it is better than what was found for another objective."""
        points = [state["x"], *state["spacings"]]
        known = yield from objective.with_noises(state, objective.to_begin)
        trial = yield from self.tried(known, points, objective)
        return state | {"x": points[trial.best]}

    def slopes(
        self, state: Arrays, objective: PairedObjective
    ) -> Generator[Stage, Output, SaidSlopes]:
        """Those about the state's x: of the last update, where it stayed there."""
        kept = {n.removeprefix(_SLOPES): v for n, v in state.items() if n.startswith(_SLOPES)}
        stayed = kept and np.array_equal(kept.pop("x"), state["x"])
        if stayed and int(kept.pop("noises")) == objective.noises(state):
            return objective.slopes_of(kept)
        return (yield from objective.slopes(state))

    def row(
        self,
        objective: PairedObjective,
        x: np.ndarray,
        value: tuple[float, float],
        noises: int,
        slopes: SaidSlopes | None = None,
    ) -> Metrics:
        """The history's row at values x (d,): `upper_loss` is of the last objective."""
        nothing = np.full(len(x), np.nan)
        gradient, se = nothing, nothing
        if slopes is not None:
            gradient, se = (self.space.inner.in_values(x, g) for g in (slopes.gradient, slopes.se))
        row = {"upper_loss": np.nan, "upper_loss_se": np.nan, "noises": float(noises)}
        name = "upper_loss" if objective is self.objectives[-1] else "teacher_distance"
        row |= {name: value[0], f"{name}_se": value[1]}
        for i, v in enumerate(self.variables):
            row[f"config/{v.name}"] = float(x[i])
            row[f"gradient/{v.name}"] = float(gradient[i])
            row[f"gradient_se/{v.name}"] = float(se[i])
        return row


def _without_slopes(state: Arrays) -> Arrays:
    return {name: value for name, value in state.items() if not name.startswith(_SLOPES)}


def _kept(slopes: SaidSlopes, x: np.ndarray, noises: int) -> Arrays:
    """What a state keeps of an update's slopes."""
    known = {**slopes.arrays, "x": x, "noises": np.array(noises)}
    return {f"{_SLOPES}{name}": value for name, value in known.items()}
