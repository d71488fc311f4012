"""`TargetSolution`: where a target is reached on one pool, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.problems.reward.targets.target import Target


@dataclass(frozen=True, eq=False, kw_only=True)
class TargetSolution(PoolSolution):
    """What one pool says of a target.

    Attributes
    ----------
    target : what is aimed at.
    seen : (least, most) lambda that was looked at, and can be believed.
    reached : (least, most) that is reached there.
    """

    target: Target
    seen: tuple[float, float]
    reached: tuple[float, float]

    @property
    def facts(self) -> dict[str, Any]:
        """What reasons to stop say, by the names that they have there."""
        (low, high), (least, most) = self.seen, self.reached
        return {
            "named": self.target.named, "aim": self.target.value,
            "low": low, "high": high, "least": least, "most": most,
        }  # fmt: skip
