"""What a driver is given."""

from __future__ import annotations

from dataclasses import dataclass

from raybilevel.callbacks import Listener
from raybilevel.config.settings import RunConfig, ScalingConfig
from raybilevel.problems.base import Problem


@dataclass(frozen=True)
class RunSpec:
    """All that a driver needs to begin a run, or to go on with it.

    Attributes
    ----------
    name : of the run's directory below `run.storage_path`.
    listeners : whom rows are told.
    """

    problem: Problem
    scaling: ScalingConfig
    run: RunConfig
    name: str
    listeners: tuple[Listener, ...] = ()
