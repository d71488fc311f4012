"""The distance to a teacher's samples, on common noises."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.schedule.teacher.objectives.base import SaidSlopes
from raybilevel.problems.schedule.teacher.objectives.common_noises import OnCommonNoises
from raybilevel.problems.schedule.teacher.objectives.update import LITTLE, Slopes, Trial
from raybilevel.problems.schedule.teacher.plan import Noises
from raybilevel.problems.schedule.teacher.shards import Differences, Distances, Through


@dataclass(frozen=True, eq=False)
class DistanceToTeacher(OnCommonNoises):
    """The mean squared distance to the teacher."""

    falls: ClassVar[str] = "the distance"
    settles: ClassVar[str] = f"no step gains {LITTLE:.0%}"

    @property
    def to_begin(self) -> int:
        """It comes first."""
        return self.first

    def prepare(self, state: Arrays, lists: Sequence[Through]) -> Generator[Stage, Output, Arrays]:
        """Nothing."""
        yield from ()
        return state

    def noises(self, state: Arrays) -> int:
        """Those that the teacher has been asked for."""
        return len(state["taught"])

    def with_noises(self, state: Arrays, noises: int) -> Generator[Stage, Output, Arrays]:
        """With the teacher's samples of them."""
        known = len(state["taught"])
        if noises <= known:
            return state
        new = yield self.plan.teach(state["seed_base"], known, noises)
        samples = new.rows["taught"]
        before = state["taught"].reshape(known, samples.shape[1])
        return state | {"taught": np.concatenate([before, samples])}

    def slopes(self, state: Arrays) -> Generator[Stage, Output, SaidSlopes]:
        """Of residuals."""
        pairs = self.space.pairs(state["x"])
        lists = self.space.around(pairs)
        found = yield self.plan.differences(Differences, self._known(state), lists, pairs.delta)
        return Slopes.of(found.rows)

    def slopes_of(self, arrays: Mapping[str, np.ndarray]) -> SaidSlopes:
        """Of residuals."""
        return Slopes.kept(arrays)

    def scores(
        self, state: Arrays, lists: Sequence[Through]
    ) -> Generator[Stage, Output, np.ndarray]:
        """Squared distances."""
        found = yield self.plan.values(Distances, self._known(state), lists)
        return found.rows["squares"]

    def trial(self, scores: np.ndarray) -> Trial:
        """The geometric mean over numbers of steps."""
        return Trial.of_squares(scores)

    def chosen(self, trial: Trial) -> int:
        """The best: residuals are calm, and noises are kept."""
        return trial.best

    def is_little(self, trial: Trial) -> bool:
        """A share of the distance."""
        return trial.gain(trial.best)[0] < LITTLE * trial.value(0)[0]

    def _known(self, state: Arrays) -> Noises:
        taught = state["taught"]
        return Noises(state["seed_base"], len(taught), {"taught": taught})
