"""One worker actor, as its group knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from raybilevel.runtime.environment import Facts


@dataclass
class WorkerHandle:
    """One worker actor.

    Attributes
    ----------
    loading : reference to what `load` returns.
    asked : when Ray was asked for it, by the monotonic clock.
    facts : what its bits depend on; None until it is ready.
    node : id of the node it is on, empty until it is ready.
    leave_by : when its node goes, by the monotonic clock; None while nobody says so.
    calls : by the reference to a call's report, its number and the reference to its sums.
    """

    actor: Any
    loading: Any
    asked: float
    facts: Facts | None = None
    node: str = ""
    leave_by: float | None = None
    calls: dict[Any, tuple[int, Any]] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether it has loaded the problem and stays."""
        return self.facts is not None and self.leave_by is None

    @property
    def references(self) -> list[Any]:
        """References that will have an answer."""
        return [*([self.loading] if self.facts is None else []), *self.calls]
