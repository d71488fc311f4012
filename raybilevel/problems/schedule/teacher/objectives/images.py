"""What objectives of images share: noises that are counted alone, and steps that must be sure."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.schedule.teacher.objectives.base import SaidSlopes
from raybilevel.problems.schedule.teacher.objectives.common_noises import OnCommonNoises
from raybilevel.problems.schedule.teacher.objectives.natural_step import NaturalSlopes
from raybilevel.problems.schedule.teacher.objectives.update import Trial
from raybilevel.problems.schedule.teacher.plan import Noises


@dataclass(frozen=True, eq=False)
class ImagesObjective(OnCommonNoises):
    """An objective of images, which nothing says a minimum of."""

    settles: ClassVar[str] = "no step gains more than twice its error"

    def noises(self, state: Arrays) -> int:
        """As many as the state says."""
        return int(state["judged_noises"])

    def with_noises(self, state: Arrays, noises: int) -> Generator[Stage, Output, Arrays]:
        """Nothing has to be drawn for that."""
        yield from ()
        return state | {"judged_noises": np.array(noises)}

    def slopes_of(self, arrays: Mapping[str, np.ndarray]) -> SaidSlopes:
        """Central differences, and J'J of the images."""
        return NaturalSlopes.kept(arrays)

    def trial(self, scores: np.ndarray) -> Trial:
        """The mean over numbers of steps."""
        return Trial(scores.mean(axis=-1))

    def chosen(self, trial: Trial) -> int:
        """The best of those that are better beyond doubt: images are not as calm as residuals."""
        return trial.surest

    def is_little(self, trial: Trial) -> bool:
        """Nothing that is known to be a gain."""
        return trial.surest == 0

    def _known(self, state: Arrays) -> Noises:
        return Noises(state["seed_base"], self.noises(state))
