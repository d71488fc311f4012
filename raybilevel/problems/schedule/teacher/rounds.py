"""What the driver of a schedule with a teacher does: begin, update, round, compare."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
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
from raybilevel.problems.schedule.teacher.plan import PairPlan
from raybilevel.problems.schedule.teacher.settings import (
    GaussNewtonSettings,
    PairedEstimation,
    TeacherComparison,
)
from raybilevel.problems.schedule.teacher.shards import Sigmas, Survey, Through, Visit
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.problems.schedule.teacher.update import LITTLE, Slopes, Trial
from raybilevel.problems.schedule.teacher.whole import whole_lists
from raybilevel.upper.variables import Variable

T = TypeVar("T")

_AT = 1e-6  # of the box, from a bound
_OUTWARD = 3.0  # standard errors of a gradient that points out of the box


@dataclass(frozen=True, eq=False)
class TeacherRounds:
    """Parts of rounds.

    Attributes
    ----------
    model, plan, space : the pipeline, its noises, its levels.
    estimation, optimizer, comparison : as a user gave them.
    """

    model: TaughtModel
    plan: PairPlan
    space: SigmaSpace
    estimation: PairedEstimation
    optimizer: GaussNewtonSettings
    comparison: TeacherComparison

    # --- where the search begins ------------------------------------------------------------------

    def begin(self, state: Arrays) -> Generator[Stage, Output, Update]:
        """Look at the spacings that the scheduler itself offers, and begin at the best."""
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
        yield Stage(tuple(Visit(sigmas) for sigmas in self.space.lists(state["x"])))
        state = yield from self.taught(state, self.estimation.first_samples)
        points = [self.space.nearest(sigmas) for sigmas in survey.rows["visited"]]
        trial = yield from self.tried(state, [state["x"], *points])
        x = [state["x"], *points][trial.best]
        known = {"mu": survey.rows["mu"][0], "rival_steps": np.array(surveys)}
        known |= survey.sums
        return Update(
            state | known | {"x": x, "x_start": x},
            self.row(x, trial.value(trial.best), len(state["taught"])),
        )

    def taught(self, state: Arrays, noises: int) -> Generator[Stage, Output, Arrays]:
        """The state with the teacher's samples of so many noises."""
        known = len(state["taught"])
        if noises <= known:
            return state
        new = yield self.plan.teach(state["seed_base"], known, noises)
        samples = new.rows["taught"]
        before = state["taught"].reshape(known, samples.shape[1])
        return state | {"taught": np.concatenate([before, samples])}

    def tried(self, state: Arrays, points: Sequence[np.ndarray]) -> Generator[Stage, Output, Trial]:
        """Values (d,) on all noises that there are, as they are."""
        lists = [sigmas for x in points for sigmas in self.space.lists(x)]
        drawn = [Through(sigmas=sigmas, exact=True) for sigmas in lists]
        found = yield self.plan.distances(state, drawn)
        return Trial(found.rows["squares"].reshape(-1, len(points), len(self.space.counts)))

    # --- one update -------------------------------------------------------------------------------

    def update(self, state: Arrays) -> Generator[Stage, Output, Update]:
        """A step from the state's x; where its gain is not sure, twice the noises from then on."""
        x, noises = state["x"], len(state["taught"])
        slopes = yield from self.slopes(state)
        points = [x, *slopes.tried(self.space, x)]
        trial = yield from self.tried(state, points)
        row = self.row(x, trial.value(0), noises, slopes)
        found = state | {"x": points[trial.best]}
        most = self.estimation.samples
        if noises < most and (trial.is_little or not trial.is_sure):
            found = yield from self.taught(found, min(2 * noises, most))
        elif trial.is_little:
            found = found | {"settled": np.array(1)}
        return Update(found, row)

    def slopes(self, state: Arrays) -> Generator[Stage, Output, Slopes]:
        """Central differences about the state's x."""
        pairs = self.space.pairs(state["x"])
        ups, downs = pairs.points[0::2], pairs.points[1::2]
        lists = [(self.space.at(u), self.space.at(v)) for u, v in zip(ups, downs, strict=True)]
        around = [[(up[k], down[k]) for up, down in lists] for k in range(len(self.space.counts))]
        found = yield self.plan.differences(state, around, pairs.delta)
        return Slopes.of(found.rows)

    # --- the end ----------------------------------------------------------------------------------

    def end(self, state: Arrays, *, settled: bool) -> Generator[Stage, Output, Update]:
        """Find whole timesteps where there must be some; compare; and say how it ended."""
        slopes = yield from self.slopes(state)
        lists = self.space.lists(state["x"])
        if self.model.lists(float(state["mu"])).taken.whole:
            lists = yield from self.whole(state, slopes)
        state = state | {"sigmas": np.concatenate(lists)}
        found = yield self.plan.distances(state, [Through(sigmas=sigmas) for sigmas in lists])
        value = Trial(found.rows["squares"][:, None]).value(0)
        nfe = 0
        if self.comparison.samples:
            state, value, nfe = yield from self.compare(state, lists)
        row = self.row(state["x"], value, len(state["taught"]), slopes)
        return Update(
            state, row | {"nfe_comparison": float(nfe)}, self.stop(state, slopes, settled)
        )

    def whole(self, state: Arrays, slopes: Slopes) -> Generator[Stage, Output, tuple[Sigmas, ...]]:
        """The best of the whole timesteps near x, on all noises that there are."""
        known, chosen = self.model.lists(float(state["mu"])), []
        for k in range(len(self.space.counts)):
            lists = whole_lists(self.space, known, state["x"], k, slopes.lists.of(k))
            found = yield self.plan.distances(state, [Through(sigmas=sigmas) for sigmas in lists])
            chosen.append(lists[Trial(found.rows["squares"][..., None]).best])
        return tuple(chosen)

    def compare(
        self, state: Arrays, learned: Sequence[Sigmas]
    ) -> Generator[Stage, Output, tuple[Arrays, tuple[float, float], int]]:
        """The learned lists beside stock samplers, on noises that nothing was tuned on."""
        start = self.space.lists(state["x_start"])
        rivals = rivals_of(self.model, self.space.counts, self.comparison, state["rival_steps"])
        listed = Subjects.of(learned, start, rivals)
        samples, seeds = self.comparison.samples, state["seed_base"]
        drawn = yield self.plan.compare(seeds, samples, listed.all)
        tables = listed.tables(drawn.rows)
        shown = yield self.plan.show(seeds, samples, [*listed.shown(tables), self.model.teacher])
        kept = {"comparison": np.concatenate(tables), "shown": shown.rows["shown"]}
        value = Trial(drawn.rows["squares"][:, None, listed.learned]).value(0)
        return state | kept, value, drawn.nfe + shown.nfe

    def stop(self, state: Arrays, slopes: Slopes, settled: bool) -> Stop:
        """How the run ended, and what that means."""
        if not settled:
            return Stop(
                Status.BUDGET,
                f"{self.optimizer.updates} updates were made and the distance may still fall; give "
                "more in a new run",
            )
        held = self._held(state["x"], slopes)
        if held:
            return Stop(
                Status.AT_BOUND,
                f"no step gains {LITTLE:.0%}, but the distance still falls at the bound of "
                f"{', '.join(held)}, where what the network was trained on ends, or what "
                "schedule_options allow",
            )
        return Stop(
            Status.CONVERGED,
            f"no step gains {LITTLE:.0%} on {len(state['taught'])} noises",
        )

    def _held(self, x: np.ndarray, slopes: Slopes) -> list[str]:
        """Variables at a bound that the gradient surely points out of."""
        u, g, se = self.space.inner.to_unit(x), slopes.gradient, _OUTWARD * slopes.se
        out = ((u < _AT) & (g > se)) | ((u > 1 - _AT) & (g < -se))
        return [v.name for v, is_out in zip(self.variables, out, strict=True) if is_out]

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The schedule's."""
        return self.space.inner.schedule.variables

    def row(
        self,
        x: np.ndarray,
        value: tuple[float, float],
        noises: int,
        slopes: Slopes | None = None,
    ) -> Metrics:
        """The history's row at values x (d,)."""
        nothing = np.full(len(x), np.nan)
        gradient, se = nothing, nothing
        if slopes is not None:
            gradient, se = (self.space.inner.in_values(x, g) for g in (slopes.gradient, slopes.se))
        row = {"upper_loss": value[0], "upper_loss_se": value[1], "noises": float(noises)}
        for i, v in enumerate(self.variables):
            row[f"config/{v.name}"] = float(x[i])
            row[f"gradient/{v.name}"] = float(gradient[i])
            row[f"gradient_se/{v.name}"] = float(se[i])
        return row
