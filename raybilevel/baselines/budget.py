"""Random points for as long as whole trials of them fit into the budget."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.search import Searcher

from raybilevel.baselines.trial import METRIC


class BudgetedRandom(Searcher):
    """Suggests the initial point, then random ones of a Tune space.

    A trial is begun only where all of it fits beside what was spent and what the trials that go on
    may still need: so none has to be stopped, and none is begun that could not be ended. What a
    scheduler stops early makes room for more.

    Parameters
    ----------
    space : Tune's domains by name.
    first : the point to begin with.
    seed : of the points.
    budget, whole : NFE of the search, and of a whole trial.
    """

    def __init__(
        self,
        space: Mapping[str, Any],
        first: Mapping[str, float],
        seed: int,
        *,
        budget: int,
        whole: int,
    ) -> None:
        super().__init__(metric=METRIC, mode="min")
        self._space, self._first, self._seed = dict(space), dict(first), seed
        self._budget, self._whole = budget, whole
        self._asked = 0
        self._live: dict[str, int] = {}
        self._spent = 0

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next point; None where it has to wait for others' ends, FINISHED at the end."""
        reserved = self._spent + len(self._live) * self._whole
        if reserved + self._whole > self._budget:
            return None if self._live else Searcher.FINISHED
        self._live[trial_id] = 0
        self._asked += 1
        if self._asked == 1:
            return dict(self._first)
        rng = np.random.default_rng([self._seed, self._asked])
        return {name: domain.sample(random_state=rng) for name, domain in self._space.items()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """What a trial has spent so far."""
        self._live[trial_id] = int(result["nfe_total"])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial has ended: what it did not spend is there for others."""
        spent = self._live.pop(trial_id, 0)
        self._spent += int(result["nfe_total"]) if result else spent

    def save(self, checkpoint_path: str) -> None:
        """As JSON."""
        kept = {"asked": self._asked, "live": self._live, "spent": self._spent}
        Path(checkpoint_path).write_text(json.dumps(kept))

    def restore(self, checkpoint_path: str) -> None:
        """What `save` wrote."""
        kept = json.loads(Path(checkpoint_path).read_text())
        self._asked, self._live, self._spent = kept["asked"], kept["live"], kept["spent"]
