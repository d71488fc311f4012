"""What a schedule is moved for: the distance to a teacher, or a reward."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.schedule.teacher.natural_step import RewardSlopes
from raybilevel.problems.schedule.teacher.plan import Noises, PairPlan
from raybilevel.problems.schedule.teacher.shards import (
    Differences,
    Distances,
    Pair,
    RewardDifferences,
    RewardValues,
    Through,
)
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.problems.schedule.teacher.update import LITTLE, Slopes, Trial
from raybilevel.upper.optimisers.gauss_newton import ResidualSums
from raybilevel.upper.optimisers.zeroth_order import Pairs


class SaidSlopes(Protocol):
    """What noises say of an objective about an x, in unit coordinates: `Slopes`, `RewardSlopes`."""

    @property
    def gradient(self) -> np.ndarray:
        """(d,)."""

    @property
    def se(self) -> np.ndarray:
        """(d,) its standard error."""

    def tried(self, space: SigmaSpace, x: np.ndarray) -> list[np.ndarray]:
        """Values (d,) to go to from x (d,)."""

    def of_list(self, k: int) -> ResidualSums:
        """Those of one number of steps."""


class PairedObjective(Protocol):
    """An objective on common noises.

    Attributes
    ----------
    falls : what of it may still fall, in a sentence.
    settles : what is so where it does not.
    """

    falls: ClassVar[str]
    settles: ClassVar[str]

    def noises(self, state: Arrays) -> int:
        """On how many it is known."""

    def with_noises(self, state: Arrays, noises: int) -> Generator[Stage, Output, Arrays]:
        """The state with so many."""

    def slopes(self, state: Arrays) -> Generator[Stage, Output, SaidSlopes]:
        """Central differences about the state's x."""

    def scores(
        self, state: Arrays, lists: Sequence[Through]
    ) -> Generator[Stage, Output, np.ndarray]:
        """Of each noise by each list (n, lists), less being better."""

    def trial(self, scores: np.ndarray) -> Trial:
        """Of scores (n, points, numbers of steps)."""

    def chosen(self, trial: Trial) -> int:
        """The point that is gone to."""

    def is_little(self, trial: Trial) -> bool:
        """Whether there is next to nothing to gain."""


@dataclass(frozen=True, eq=False)
class DistanceToTeacher:
    """The mean squared distance to the teacher."""

    plan: PairPlan
    space: SigmaSpace
    falls: ClassVar[str] = "the distance"
    settles: ClassVar[str] = f"no step gains {LITTLE:.0%}"

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
        known, lists = self._known(state), around(self.space, pairs)
        found = yield self.plan.differences(Differences, known, lists, pairs.delta)
        return Slopes.of(found.rows)

    def scores(
        self, state: Arrays, lists: Sequence[Through]
    ) -> Generator[Stage, Output, np.ndarray]:
        """Squared distances."""
        found = yield self.plan.values(Distances, self._known(state), lists)
        return found.rows["squares"]

    def _known(self, state: Arrays) -> Noises:
        taught = state["taught"]
        return Noises(state["seed_base"], len(taught), {"taught": taught})

    def trial(self, scores: np.ndarray) -> Trial:
        """The geometric mean over numbers of steps."""
        return Trial.of_squares(scores)

    def chosen(self, trial: Trial) -> int:
        """The best: residuals are calm, and noises are kept."""
        return trial.best

    def is_little(self, trial: Trial) -> bool:
        """A share of the distance."""
        return trial.gain(trial.best)[0] < LITTLE * trial.value(0)[0]


@dataclass(frozen=True, eq=False)
class MinusReward:
    """Minus the mean reward; of several numbers of steps minus the mean over them."""

    plan: PairPlan
    space: SigmaSpace
    falls: ClassVar[str] = "minus the reward"
    settles: ClassVar[str] = "no step gains more than twice its error"

    def noises(self, state: Arrays) -> int:
        """As many as the state says."""
        return int(state["reward_noises"])

    def with_noises(self, state: Arrays, noises: int) -> Generator[Stage, Output, Arrays]:
        """Nothing has to be drawn for that."""
        yield from ()
        return state | {"reward_noises": np.array(noises)}

    def slopes(self, state: Arrays) -> Generator[Stage, Output, SaidSlopes]:
        """Of rewards."""
        pairs = self.space.pairs(state["x"])
        known, lists = Noises(state["seed_base"], self.noises(state)), around(self.space, pairs)
        found = yield self.plan.differences(RewardDifferences, known, lists, pairs.delta)
        return RewardSlopes.of(found.rows)

    def scores(
        self, state: Arrays, lists: Sequence[Through]
    ) -> Generator[Stage, Output, np.ndarray]:
        """Minus rewards."""
        known = Noises(state["seed_base"], self.noises(state))
        found = yield self.plan.values(RewardValues, known, lists)
        return -found.rows["rewards"]

    def trial(self, scores: np.ndarray) -> Trial:
        """The mean over numbers of steps."""
        return Trial(scores.mean(axis=-1))

    def chosen(self, trial: Trial) -> int:
        """The best of those that are better beyond doubt: rewards are not calm."""
        return trial.surest

    def is_little(self, trial: Trial) -> bool:
        """Nothing that is known to be a gain."""
        return trial.surest == 0


def around(space: SigmaSpace, pairs: Pairs) -> list[list[Pair]]:
    """Lists up and down along each variable, of each number of steps."""
    ups, downs = (
        list(map(space.at, points)) for points in (pairs.points[0::2], pairs.points[1::2])
    )
    return [
        [(up[k], down[k]) for up, down in zip(ups, downs, strict=True)]
        for k in range(len(space.counts))
    ]
