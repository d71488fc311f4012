"""What rounds ask of any objective."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Protocol

import numpy as np

from raybilevel.problems.base import Arrays, Output, Stage
from raybilevel.problems.schedule.teacher.objectives.update import Trial
from raybilevel.problems.schedule.teacher.shards import Through
from raybilevel.problems.schedule.teacher.space import SigmaSpace
from raybilevel.upper.optimisers.gauss_newton import ResidualSums


class SaidSlopes(Protocol):
    """What noises say of an objective about an x, in unit coordinates."""

    @property
    def arrays(self) -> Arrays:
        """All that it is, for a state."""

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
    """An objective on common noises."""

    @property
    def falls(self) -> str:
        """What of it may still fall, in a sentence."""

    @property
    def settles(self) -> str:
        """What is so where it does not."""

    @property
    def first(self) -> int:
        """Noises that it is known on at first."""

    @property
    def most(self) -> int:
        """Noises that it is known on at most."""

    @property
    def to_begin(self) -> int:
        """Noises that decide where to begin for it, after another objective."""

    def prepare(self, state: Arrays, lists: Sequence[Through]) -> Generator[Stage, Output, Arrays]:
        """The state with what has to be known before anything else; what fails does so here.

        Parameters
        ----------
        lists : some that can be tried.
        """

    def noises(self, state: Arrays) -> int:
        """On how many it is known."""

    def with_noises(self, state: Arrays, noises: int) -> Generator[Stage, Output, Arrays]:
        """The state with so many."""

    def slopes(self, state: Arrays) -> Generator[Stage, Output, SaidSlopes]:
        """Central differences about the state's x."""

    def slopes_of(self, arrays: Mapping[str, np.ndarray]) -> SaidSlopes:
        """Those that were kept as arrays."""

    def scores(
        self, state: Arrays, lists: Sequence[Through]
    ) -> Generator[Stage, Output, np.ndarray]:
        """Of each noise, or chunk of noises, by each list (n, lists), less being better."""

    def trial(self, scores: np.ndarray) -> Trial:
        """Of scores (n, points, numbers of steps)."""

    def chosen(self, trial: Trial) -> int:
        """The point that is gone to."""

    def is_little(self, trial: Trial) -> bool:
        """Whether there is next to nothing to gain."""
