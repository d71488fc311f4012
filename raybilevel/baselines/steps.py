"""Every step of a search's trials, as they come: what the ledger is made from.

Tune's own `result.json` loses rows where a trial is paused or begun again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray.tune import Callback

from raybilevel.baselines.trial import ADMITTED, METRIC
from raybilevel.errors import Interrupted
from raybilevel.runtime.ray_session import Signals

if TYPE_CHECKING:
    import pandas as pd

SearchWatch = Callable[[int, int, float], None]
"""Called with trials so far, their NFE, and the least loss, after every result."""

Step = dict[str, Any]

_COLUMNS = (
    "trial_id", "training_iteration", "time_this_iter_s", "nfe_this_iter",
    "worker_seconds_this_iter", "spent_from", "whole", METRIC,
)  # fmt: skip


@dataclass(frozen=True)
class _Session:
    """What goes on around a search: who is told, where its steps go, whether it has to stop.

    The callback is stored by Tune, and comes back as another object where a search goes on: so it
    knows none of them.
    """

    watch: SearchWatch
    ended: list[Any]
    signals: Signals

    def check(self) -> None:
        """Raises `Interrupted` after Ctrl-C or SIGTERM."""
        if self.signals.received:
            raise Interrupted("the search was interrupted")


_session: ContextVar[_Session] = ContextVar("session")


@contextmanager
def watching(watch: SearchWatch) -> Iterator[list[Any]]:
    """While a search runs; gives the list that its steps are put into at its end.

    Raises
    ------
    Interrupted
        On Ctrl-C or SIGTERM, between two steps of Tune: a `KeyboardInterrupt` that is raised inside
        one can get lost there.
    """
    with Signals() as signals:
        session = _Session(watch, [], signals)
        token = _session.set(session)
        try:
            yield session.ended
        finally:
            _session.reset(token)
        session.check()


class Steps(Callback):
    """Writes down every result, once: a step that was lost and made again has the same key."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Stop the search where it was asked to."""
        _session.get().check()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Add the step, and tell how the search goes."""
        x = {name: value for name, value in result.items() if name.startswith(ADMITTED)}
        step = {**{name: result[name] for name in _COLUMNS}, **x, "time": time.time()}
        self._steps.setdefault(_key(step), step)
        least = min(float(s[METRIC]) for s in self._steps.values())
        _session.get().watch(len(trials), self.spent, least)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Hand the steps over."""
        _session.get().ended.append(self.frame())

    def frame(self) -> pd.DataFrame:
        """All steps in the order that they came in."""
        import pandas as pd

        return pd.DataFrame(list(self._steps.values()))

    @property
    def spent(self) -> int:
        """NFE so far."""
        return sum(int(step["nfe_this_iter"]) for step in self._steps.values())

    def get_state(self) -> dict[str, Any]:
        """Stored with the search."""
        return {"steps": self._steps}

    def set_state(self, state: dict[str, Any]) -> None:
        """Where a search goes on."""
        self._steps = state["steps"]


def _key(step: Step) -> str:
    """Trial, round that it began at, and x, which PBT may change between two steps."""
    x = [step[name] for name in sorted(step) if name.startswith(ADMITTED)]
    return repr((step["trial_id"], step["spent_from"], x))
