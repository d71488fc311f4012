"""What a run found, read from its directory."""

from __future__ import annotations

import json
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

from raybilevel import config_file
from raybilevel.errors import InputError
from raybilevel.problems.base import Arrays, Problem, Status
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.storage import RunDirectory
from raybilevel.stored_config import stored_config

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


class Result:
    """A run that has ended.

    Parameters
    ----------
    directory : its run directory.
    problem : what it tuned; None reads it from `config.yaml`.
    """

    def __init__(self, directory: RunDirectory, problem: Problem | None = None) -> None:
        self.directory = directory
        self._problem = problem

    @property
    def path(self) -> str:
        """Where the run directory is."""
        return self.directory.path

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds: status, reason, best_params, upper_loss, costs, versions."""
        self._check_readable()
        if not self.directory.has("summary.json"):
            raise InputError(f"the run in {self.path} has not ended: it has no summary.json")
        summary: dict[str, Any] = json.loads(self.directory.read("summary.json"))
        return summary

    def _check_readable(self) -> None:
        """Raise `InputError` if there is no run, or one of another format."""
        self.config  # noqa: B018 - reading it is the check

    @property
    def status(self) -> str:
        """How it ended: converged, at_bound, budget or stopped."""
        return str(self.summary["status"])

    @property
    def reason(self) -> str:
        """What the status means here, and what to do."""
        return str(self.summary["reason"])

    @property
    def best_params(self) -> dict[str, float]:
        """The upper-level variables by name."""
        return dict(self.summary["best_params"])

    @property
    def metrics(self) -> dict[str, Any]:
        """The last row of the history; None for what the run could not say."""
        return dict(self.summary["metrics"])

    def get_dataframe(self) -> pd.DataFrame:
        """The history: a row a round, with Tune's column names where Tune has one."""
        self._check_readable()
        frame: pd.DataFrame = self.directory.read_table("history")
        return frame

    @cached_property
    def kind(self) -> str:
        """The problem's name in YAML: a registered one, or "package.module:Class"."""
        return str(self.config["problem"])

    @cached_property
    def config(self) -> dict[str, Any]:
        """What `config.yaml` holds: every argument, resolved."""
        return stored_config(self.directory)

    @cached_property
    def problem(self) -> Problem:
        """What the run tuned.

        Raises
        ------
        InputError
            If it was given Python callables, which are never stored.
        """
        if self._problem is not None:
            return self._problem
        return config_file.build(self.config, f"{self.path}/config.yaml").problem

    @cached_property
    def state(self) -> Arrays:
        """The run's state at its end: for the reward problem with the pool."""
        self._check_readable()
        checkpoint = Checkpoints(self.directory).read()
        if checkpoint is None:
            raise InputError(f"the run in {self.path} has no checkpoint yet")
        return checkpoint.state

    def pipeline(self) -> Any:
        """The run's diffusers pipeline.

        For the schedule problem with the learned schedule baked in: call it with
        `num_inference_steps=N`; where there is a teacher, as its `call.json` says.
        For the reward problem the pretrained one, by the run's scheduler.

        Raises
        ------
        InputError
            If the run's model is a callable or its pool a table, its directory is not on this
            machine, or it is one of the hub, of which the run holds no weights.
        """
        from diffusers import DiffusionPipeline

        self._check_readable()
        if not self.directory.has("pipeline/model_index.json"):
            why = "its model is a callable"
            if self.config.get("pool") is not None:
                why = "its pool is a table, which no model is known of"
            if self.directory.has("pipeline/call.json"):
                why = "pipeline/call.json says which model of the hub it is, and how it is loaded"
            raise InputError(f"the run in {self.path} holds no pipeline: {why}")
        return DiffusionPipeline.from_pretrained(
            f"{self.path}/pipeline", local_files_only=True, use_safetensors=True
        )

    def samples(self, n: int, seed: int = 0, device: str = "cpu") -> Tensor:
        """`n` samples (n, ...) at the best parameters, on the CPU.

        For the reward problem of p_x, by resampling the pool; for the schedule problem what the
        exported pipeline draws with `torch.Generator().manual_seed(seed)`. A run that found no
        optimum warns that these are samples of where it stood.
        """
        if n < 1:
            raise InputError(f"{n} samples were asked for; ask for at least one")
        if self.status in (Status.BUDGET, Status.STOPPED):
            at = ", ".join(f"{name} {value:.4g}" for name, value in self.best_params.items())
            warnings.warn(f"samples at {at}, which is no optimum: {self.reason}", stacklevel=2)
        return self.problem.samples(self.state, n, seed, device)
