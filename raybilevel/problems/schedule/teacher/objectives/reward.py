"""Minus a reward of a schedule's samples, on common noises."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.schedule.teacher.objectives.base import SaidSlopes
from raybilevel.problems.schedule.teacher.objectives.images import ImagesObjective
from raybilevel.problems.schedule.teacher.objectives.natural_step import NaturalSlopes
from raybilevel.problems.schedule.teacher.shards import RewardDifferences, RewardValues, Through

_TRIED = 2  # samples that a reward is asked of first


@dataclass(frozen=True, eq=False)
class MinusReward(ImagesObjective):
    """Minus the mean reward; of several numbers of steps minus the mean over them."""

    falls: ClassVar[str] = "minus the reward"

    @property
    def to_begin(self) -> int:
        """All that there may be: what is begun at is not tried again."""
        return self.most

    def prepare(self, state: Arrays, lists: Sequence[Through]) -> Generator[Stage, Output, Arrays]:
        """Ask the reward, so that one that fails does so before the work."""
        known = replace(self._known(state), count=_TRIED)
        yield self.plan.values(RewardValues, known, lists[-1:])
        return state

    def slopes(self, state: Arrays) -> Generator[Stage, Output, SaidSlopes]:
        """Of rewards."""
        pairs = self.space.pairs(state["x"])
        lists = self.space.around(pairs)
        known = self._known(state)
        found = yield self.plan.differences(RewardDifferences, known, lists, pairs.delta)
        return NaturalSlopes.of_rewards(found.rows)

    def scores(
        self, state: Arrays, lists: Sequence[Through]
    ) -> Generator[Stage, Output, np.ndarray]:
        """Minus rewards."""
        found = yield self.plan.values(RewardValues, self._known(state), lists)
        return -found.rows["rewards"]
