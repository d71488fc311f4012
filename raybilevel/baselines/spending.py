"""What a Tune search may spend: it stops before the next unit would pass the budget."""

from __future__ import annotations

from typing import Any

from ray.tune import Stopper

Key = tuple[str, int, tuple[float, ...]]
"""A step: trial, round that it began at, x. One that was lost and made again has the same."""


class Spending(Stopper):
    """Counts what every step cost, once, and stops trials where the budget ends.

    Parameters
    ----------
    budget : NFE.
    unit : NFE of a trial's dearest step.
    concurrent : trials at once, each of which may be in a step.
    """

    def __init__(self, budget: int, unit: int, concurrent: int) -> None:
        self._budget, self._unit, self._concurrent = budget, unit, concurrent
        self._steps: dict[Key, int] = {}

    @property
    def spent(self) -> int:
        """NFE so far."""
        return sum(self._steps.values())

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial has to stop."""
        self._steps[step_key(trial_id, result)] = result["nfe_this_iter"]
        return self.spent + self._concurrent * self._unit > self._budget

    def stop_all(self) -> bool:
        """Whether not even one more unit fits."""
        return self.spent + self._unit > self._budget


def step_key(trial_id: str, result: dict[str, Any]) -> Key:
    """What tells one step from another."""
    x = {k: v for k, v in result.items() if k.startswith("admitted/")}
    return trial_id, int(result["spent_from"]), tuple(x[name] for name in sorted(x))
