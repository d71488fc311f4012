"""raybilevel: tunes the numbers above a diffusion model by first-order bilevel optimization."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raybilevel.config.settings import RunConfig, ScalingConfig
    from raybilevel.problems.reward.problem import RewardTuning
    from raybilevel.problems.schedule.sampling_schedule import SamplingSchedule
    from raybilevel.problems.schedule.training.problem import TrainingSchedule
    from raybilevel.result import Result
    from raybilevel.tuner import BilevelTuner
    from raybilevel.upper.variables import Variable

__version__ = "0.2.0.dev0"

_HOMES = {
    "BilevelTuner": "raybilevel.tuner",
    "Result": "raybilevel.result",
    "RewardTuning": "raybilevel.problems.reward.problem",
    "RunConfig": "raybilevel.config.settings",
    "SamplingSchedule": "raybilevel.problems.schedule.sampling_schedule",
    "ScalingConfig": "raybilevel.config.settings",
    "TrainingSchedule": "raybilevel.problems.schedule.training.problem",
    "Variable": "raybilevel.upper.variables",
}

__all__ = [
    "BilevelTuner",
    "Result",
    "RewardTuning",
    "RunConfig",
    "SamplingSchedule",
    "ScalingConfig",
    "TrainingSchedule",
    "Variable",
]


def __getattr__(name: str) -> Any:
    """Load what is asked for: torch and ray take a second, and not every use needs them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'raybilevel' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
