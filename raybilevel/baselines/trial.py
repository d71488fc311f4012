"""One trial as Ray Tune runs it: the same lower-level code as the bilevel method, at a fixed x."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ray import tune

from raybilevel.callbacks import Row
from raybilevel.config.settings import RunConfig
from raybilevel.imports import collector_paused
from raybilevel.problems.base import Output, Problem, Worker
from raybilevel.runtime.checkpoints import Checkpoint, Checkpoints
from raybilevel.runtime.environment import make_deterministic
from raybilevel.runtime.numbering import NumberedStage
from raybilevel.runtime.rounds import Run, run_stage
from raybilevel.runtime.serialization import Serialized
from raybilevel.runtime.storage import RunDirectory
from raybilevel.runtime.threads import fix_threads

METRIC = "upper_loss"
ADMITTED = "admitted/"
"""Prefix of the variables as they were used: a search may propose what has to be moved."""


class TrialRun(tune.Trainable):
    """Plays a trial's rounds, from one known value of the objective to the next.

    A step reports what it cost itself: `nfe_this_iter`, `worker_seconds_this_iter`; `spent_from`
    says at which round it began, which tells a step that was lost and made again from a new one;
    `whole` whether it was the trial's last (Tune sets `done` where a scheduler stops one, too).
    """

    def setup(
        self, config: dict[str, Any], serialized: Serialized, seed: int, threads: int, device: str
    ) -> None:
        """Load model and data, which all trials of a process share."""
        fix_threads(threads)
        make_deterministic(device)
        self._problem: Problem = serialized.load()
        with collector_paused():
            self._worker: Worker = self._problem.worker(device)
        fix_threads(threads)
        self._threads, self._seed = threads, seed
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Another trial in the same process."""
        x = {v.name: float(new_config[v.name]) for v in self._problem.variables}
        self._x = self._problem.admissible(x)
        self._trial = self._problem.evaluation([{"x": np.array(list(self._x.values()))}])
        self._run = Run.begin(self._trial, RunConfig(seed=self._seed))
        return True

    def step(self) -> dict[str, Any]:
        """Rounds until the objective is known."""
        ledger = self._run.ledger
        first, nfe, seconds = self._run.round, ledger.nfe_total, ledger.worker_seconds_total
        row = self._round()
        while self._run.stop is None and not math.isfinite(row[METRIC]):
            row = self._round()
        return {
            **{name: value for name, value in row.items() if name != "training_iteration"},
            **{f"{ADMITTED}{name}": value for name, value in self._x.items()},
            "nfe_this_iter": ledger.nfe_total - nfe,
            "worker_seconds_this_iter": ledger.worker_seconds_total - seconds,
            "spent_from": first,
            "whole": self._run.stop is not None,
            "done": self._run.stop is not None,
        }

    def _round(self) -> Row:
        return self._run.play(self._run_stage)

    def _run_stage(self, stage: NumberedStage) -> Output:
        return run_stage(stage, self._worker, self._run, self._threads)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """State and record, as a run's checkpoint.

        Named by the step: where Tune drops the answer of a save, because the trial was paused by
        an earlier one, it writes the trial's next checkpoint to the same folder, and another trial
        may have been told to go on from the first (seen with Ray 2.60).
        """
        directory = _saved_after(self.iteration, checkpoint_dir)
        Checkpoints(directory).write(self._run.state, self._run.record(), [])

    def load_checkpoint(self, checkpoint: str) -> None:
        """Go on from a checkpoint: this trial's, or another's at this one's x (PBT)."""
        saved = read_end(checkpoint, self.iteration)
        config = RunConfig(seed=self._seed)
        x = self._trial.init(self._seed)["x"]
        self._run = Run.resume(self._trial, config, saved.state | {"x": x}, saved.record)


def read_end(folder: str, iteration: int) -> Checkpoint:
    """What `TrialRun.save_checkpoint` wrote to a local folder after this step."""
    found = Checkpoints(_saved_after(iteration, folder)).read()
    assert found is not None, "a checkpoint that Tune kept is whole"
    return found


def _saved_after(iteration: int, folder: str) -> RunDirectory:
    return RunDirectory(folder, f"state-{iteration}")
