"""What objectives on common noises are given, and how many noises they take."""

from __future__ import annotations

from dataclasses import dataclass

from raybilevel.problems.schedule.teacher.plan import PairPlan
from raybilevel.problems.schedule.teacher.settings import PairedEstimation
from raybilevel.problems.schedule.teacher.space import SigmaSpace


@dataclass(frozen=True, eq=False)
class OnCommonNoises:
    """An objective's noises, its levels, and what the settings say of its estimation."""

    plan: PairPlan
    space: SigmaSpace
    estimation: PairedEstimation

    @property
    def first(self) -> int:
        """Noises that it is known on at first."""
        return self.estimation.first_samples

    @property
    def most(self) -> int:
        """Noises that it is known on at most."""
        return self.estimation.samples
