"""Where the objective of every group is least on one pool, where groups share nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.problems.reward.groups.objective import GroupedObjective
from raybilevel.problems.reward.pool_solution import PoolSolution


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupedSolution(PoolSolution):
    """What one pool has to say of all groups.

    Attributes
    ----------
    parts : of each group.
    """

    parts: dict[str, PoolSolution]

    @classmethod
    def of(cls, objective: GroupedObjective, parts: dict[str, PoolSolution]) -> GroupedSolution:
        """Of what each group's search has found."""
        found = list(parts.values())
        least = [part.unpenalised for part in found if part.unpenalised is not None]
        return cls(
            point=objective.at(np.concatenate([part.x for part in found])),
            termination=found[0].termination,
            interval=None,
            interval_of_prompts=None,
            pinned=np.concatenate([part.pinned for part in found]),
            refused=None,
            evaluations=sum(part.evaluations for part in found),
            unpenalised=np.concatenate(least) if least else None,
            trusted=all(part.trusted for part in found),
            parts=parts,
        )

    @property
    def believed(self) -> bool:
        """Whether each group can be believed anywhere on its way."""
        return all(part.believed for part in self.parts.values())

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The intervals' ends of all groups (d,), (d,); nan where there is none."""
        return _joined([part.bounds for part in self.parts.values()])

    @property
    def bounds_of_prompts(self) -> tuple[np.ndarray, np.ndarray]:
        """The same for prompts like these."""
        return _joined([part.bounds_of_prompts for part in self.parts.values()])


def _joined(ends: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    lows, highs = zip(*ends, strict=True)
    return np.concatenate(lows), np.concatenate(highs)
