"""What the driver of a schedule with a teacher does: begin, update, round, compare."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from raybilevel.lower.sampling.level_lists.stock import spacings_of
from raybilevel.problems.base import Arrays, Metrics, Output, Stage, Status, Stop, Update
from raybilevel.problems.schedule.teacher.comparison import (
    Subjects,
    rival_choices,
    rivals_of,
)
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.objectives import (
    DistanceToTeacher,
    MinusReward,
    PairedObjective,
    SaidSlopes,
)
from raybilevel.problems.schedule.teacher.plan import Noises, PairPlan
from raybilevel.problems.schedule.teacher.settings import (
    GaussNewtonSettings,
    PairedEstimation,
    TeacherComparison,
)
from raybilevel.problems.schedule.teacher.shards import (
    RewardValues,
    Sigmas,
    Survey,
    Through,
    Visit,
)
from raybilevel.problems.schedule.teacher.space import SigmaSpace, leads_out
from raybilevel.problems.schedule.teacher.update import Trial
from raybilevel.problems.schedule.teacher.whole import whole_lists
from raybilevel.upper.variables import Variable

T = TypeVar("T")

_TRIED = 2  # samples that a reward is asked of first
_OUTWARD = 3.0  # standard errors of a gradient that points out of the box


@dataclass(frozen=True, eq=False)
class TeacherRounds:
    """Parts of rounds.

    Attributes
    ----------
    model, plan, space : the pipeline, its noises, its levels.
    estimation, optimizer, comparison : as a user gave them.
    rewarded : whether the levels are moved for a reward, once they are near to the teacher's.
    """

    model: TaughtModel
    plan: PairPlan
    space: SigmaSpace
    estimation: PairedEstimation
    optimizer: GaussNewtonSettings
    comparison: TeacherComparison
    rewarded: bool

    @cached_property
    def objectives(self) -> tuple[PairedObjective, ...]:
        """What levels are moved for, one after the other: the last is the objective."""
        distance = DistanceToTeacher(self.plan, self.space)
        reward = MinusReward(self.plan, self.space)
        return (distance, reward) if self.rewarded else (distance,)

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
        if self.rewarded:  # so that one that fails does so before the work
            drawn = [Through(sigmas=lists[-1], exact=True)]
            yield self.plan.values(RewardValues, Noises(state["seed_base"], _TRIED), drawn)
        state = yield from objective.with_noises(state, self.estimation.first_samples)
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
        found = state | {"updates": state["updates"] + one}
        chosen, little = objective.chosen(trial), objective.is_little(trial)
        found, most = found | {"x": points[chosen]}, self.estimation.samples
        if noises < most and (little or not trial.is_sure(chosen)):
            found = yield from objective.with_noises(found, min(2 * noises, most))
        elif little:
            found = found | {"settled": state["settled"] | one}
        return Update(found, row)

    def begin_anew(
        self, state: Arrays, objective: PairedObjective
    ) -> Generator[Stage, Output, Arrays]:
        """Go to the best spacing where it is better than what was found for another objective.

        On as many noises as there may be: what is begun at is not tried again.
        """
        points = [state["x"], *state["spacings"]]
        known = yield from objective.with_noises(state, self.estimation.samples)
        trial = yield from self.tried(known, points, objective)
        return state | {"x": points[trial.best]}

    # --- the end ----------------------------------------------------------------------------------

    def end(self, state: Arrays) -> Generator[Stage, Output, Update]:
        """Find whole timesteps where there must be some; compare; and say how it ended."""
        objective = self.objectives[-1]
        slopes = yield from objective.slopes(state)
        lists = self.space.lists(state["x"])
        if self.model.lists(float(state["mu"])).taken.whole:
            lists = yield from self.whole(state, slopes)
        state = state | {"sigmas": np.concatenate(lists)}
        scores = yield from objective.scores(state, [Through(sigmas=sigmas) for sigmas in lists])
        value, nfe = objective.trial(scores[:, None]).value(0), 0
        if self.comparison.samples:
            state, value, nfe = yield from self.compare(state, lists)
        row = self.row(objective, state["x"], value, objective.noises(state), slopes)
        return Update(state, row | {"nfe_comparison": float(nfe)}, self.stop(state, slopes))

    def whole(
        self, state: Arrays, slopes: SaidSlopes
    ) -> Generator[Stage, Output, tuple[Sigmas, ...]]:
        """The best of the whole timesteps near x, on all noises that there are."""
        known, chosen, objective = self.model.lists(float(state["mu"])), [], self.objectives[-1]
        for k in range(len(self.space.counts)):
            lists = whole_lists(self.space, known, state["x"], k, slopes.of_list(k))
            scores = yield from objective.scores(
                state, [Through(sigmas=sigmas) for sigmas in lists]
            )
            chosen.append(lists[objective.trial(scores[..., None]).best])
        return tuple(chosen)

    def compare(
        self, state: Arrays, learned: Sequence[Sigmas]
    ) -> Generator[Stage, Output, tuple[Arrays, tuple[float, float], int]]:
        """The learned lists beside stock samplers, on noises that nothing was tuned on."""
        start = self.space.lists(state["x_start"])
        rivals = rivals_of(self.model, self.space.counts, self.comparison, state["rival_steps"])
        listed = Subjects.of(learned, start, rivals)
        samples, seeds = self.comparison.samples, state["seed_base"]
        rewarded = len(self.objectives) > 1
        drawn = yield self.plan.compare(seeds, samples, listed.all, rewarded=rewarded)
        tables = listed.tables(drawn.rows)
        shown = yield self.plan.show(seeds, samples, [*listed.shown(tables), self.model.teacher])
        kept = {"comparison": np.concatenate(tables), "shown": shown.rows["shown"]}
        scores = -drawn.rows["rewards"] if rewarded else drawn.rows["squares"]
        value = self.objectives[-1].trial(scores[:, None, listed.learned]).value(0)
        return state | kept, value, drawn.nfe + shown.nfe

    def stop(self, state: Arrays, slopes: SaidSlopes) -> Stop:
        """How the run ended, and what that means."""
        objective = self.objectives[-1]
        if not state["settled"][-1]:
            return Stop(
                Status.BUDGET,
                f"{self.optimizer.updates} updates were made and {objective.falls} may still fall; "
                "give more in a new run",
            )
        held = self._held(state["x"], slopes)
        if held:
            return Stop(
                Status.AT_BOUND,
                f"{objective.settles}, but {objective.falls} still falls at the bound of "
                f"{', '.join(held)}, where what the network was trained on ends, or what "
                "schedule_options allow",
            )
        return Stop(Status.CONVERGED, f"{objective.settles} on {objective.noises(state)} noises")

    def _held(self, x: np.ndarray, slopes: SaidSlopes) -> list[str]:
        """Variables at a bound that the gradient surely points out of."""
        u, g = self.space.inner.to_unit(x), slopes.gradient
        out = leads_out(u, -g) & (np.abs(g) > _OUTWARD * slopes.se)
        return [v.name for v, is_out in zip(self.variables, out, strict=True) if is_out]

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The schedule's."""
        return self.space.inner.schedule.variables

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
