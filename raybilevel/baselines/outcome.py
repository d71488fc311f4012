"""What a method came to: its history, and the states in which it left the problem on its way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.runtime.storage import RunDirectory

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "method", "seed", "trial_id", "training_iteration", "time_total_s", "nfe_total",
    "worker_seconds_total", "upper_evaluations", "upper_loss",
)  # fmt: skip
"""Of a method's history beside `config/<variable>`: a row for each value of the objective that it
saw; costs are the method's so far, all its trials together."""

_ROWS, _ENDS, _DONE = "rows.parquet", "ends.safetensors", "done.json"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one method came to with one seed.

    Attributes
    ----------
    rows : the history, `COLUMNS`.
    ends : states that it would have ended with, from row `at` on: the last is what it found.
    at : (len(ends),) rows.
    failed : trials that failed for good.
    """

    rows: pd.DataFrame
    ends: Sequence[Arrays]
    at: np.ndarray
    failed: int = 0

    def write(self, directory: RunDirectory) -> None:
        """Into a directory of its own; complete once `done.json` is there."""
        from safetensors.numpy import save

        arrays = {f"{i}/{name}": a for i, end in enumerate(self.ends) for name, a in end.items()}
        directory.write_frame(_ROWS, self.rows)
        directory.write(_ENDS, save({k: np.ascontiguousarray(a) for k, a in arrays.items()}))
        record = {"at": self.at.tolist(), "failed": self.failed}
        directory.write(_DONE, json.dumps(record).encode())

    @classmethod
    def read(cls, directory: RunDirectory) -> Outcome | None:
        """What `write` wrote; None where it is not complete."""
        from safetensors.numpy import load

        if not directory.has(_DONE):
            return None
        record = json.loads(directory.read(_DONE))
        ends: list[Arrays] = [{} for _ in record["at"]]
        for key, array in load(directory.read(_ENDS)).items():
            i, _, name = key.partition("/")
            ends[int(i)][name] = array
        at = np.array(record["at"], dtype=int)
        return cls(directory.read_frame(_ROWS), ends, at, record["failed"])


def end_of(state: Arrays) -> Arrays:
    """What scoring needs of a state: x, and the network where one was trained."""
    return {name: state[name] for name in ("x", "average") if name in state}


def records(losses: Sequence[float]) -> list[int]:
    """Rows at which the least loss so far fell."""
    found: list[int] = []
    least = np.inf
    for i, loss in enumerate(losses):
        if loss < least:
            found, least = [*found, i], loss
    return found
