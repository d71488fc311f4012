"""A run in which workers, nodes or drivers were lost, against the same run undisturbed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from raybilevel.callbacks import Row
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.rounds import Run
from raybilevel.runtime.storage import RunDirectory


def differences(directory: RunDirectory, quiet: Run, rows: Sequence[Row]) -> Iterator[str]:
    """What a run directory has other bits of than `run_locally`'s run and rows: nothing, if exact.

    Compared are the trace of x, `upper_loss` and `nfe_total` of the history, by the column's name,
    and the final state, by the array's.
    """
    history = directory.read_table("history")
    columns = [f"config/{v.name}" for v in quiet.problem.variables] + ["upper_loss", "nfe_total"]
    for name in columns:
        wanted = np.array([row[name] for row in rows], float)
        if history[name].to_numpy(float).tobytes() != wanted.tobytes():
            yield name
    checkpoint = Checkpoints(directory).read()
    assert checkpoint is not None, "a run that has ended has a checkpoint"
    for name, value in quiet.state.items():
        if checkpoint.state[name].tobytes() != value.tobytes():
            yield name
