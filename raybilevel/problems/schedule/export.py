"""What a schedule run leaves behind: a stock pipeline, levels, the comparison, samples."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_info import LevelInfo
from raybilevel.problems.pictures import write_grid
from raybilevel.problems.schedule.comparison import frame
from raybilevel.problems.schedule.shards import Subject
from raybilevel.schedules import knots

if TYPE_CHECKING:
    from raybilevel.problems.base import Arrays

_WIDEST = 15.0
_APART = 1e-3


def exported_steps(steps: int, train_steps: int) -> int:
    """Training steps of the exported scheduler: the least multiple of `steps` from the model's."""
    return math.ceil(train_steps / steps) * steps


def check_divides(steps: int, train_steps: int) -> None:
    """Refuse a number of steps that a stock `DDIMScheduler` would not walk as we do.

    Its `step` goes from t to t - T // N whatever its timesteps are (diffusers issue 12633).

    Raises
    ------
    InputError
        Naming the nearest numbers that divide T.
    """
    if train_steps % steps:
        near = [n for n in range(1, train_steps + 1) if train_steps % n == 0]
        below, above = max(n for n in near if n < steps), min(n for n in near if n > steps)
        raise InputError(
            f"sampling_steps is {steps}, which does not divide the model's {train_steps} training "
            f"steps, so that a stock DDIM pipeline cannot visit them; the nearest that do are "
            f"{below} and {above}, or take solver 'dpm++'"
        )


def stock_config(levels: np.ndarray, train_steps: int) -> dict[str, Any]:
    """A stock scheduler's config whose trailing timesteps are at `levels` (k,), k dividing them."""
    schedule = knots(len(levels), -_WIDEST, _WIDEST, gap=_APART)
    return schedule.scheduler_config(levels, train_steps)


def write_pipeline(
    unet: Any, info: LevelInfo, solver: str, levels: np.ndarray, directory: Path
) -> None:
    """Write a stock pipeline with the levels (steps,), in log-SNR and rising, baked in."""
    from raybilevel.lower.sampling.export import bake

    config = stock_config(levels, exported_steps(len(levels), len(info.logsnr)))
    bake(unet, directory / "pipeline", solver, info, config)


def write_levels(directory: Path, lists: Mapping[str, Sequence[float]]) -> None:
    """Write lists of levels and timesteps by name."""
    (directory / "schedule.json").write_text(json.dumps(dict(lists), indent=2))


def write_comparison(state: Arrays, subjects: Sequence[Subject], directory: Path) -> None:
    """Write the comparison and samples, where the run came to its end."""
    if "comparison" in state:
        table = frame(state["comparison"], subjects, state["comparison_steps"])
        table.to_parquet(directory / "comparison.parquet")
        _write_shown(state["shown"], subjects, directory / "samples")


def _write_shown(shown: np.ndarray, subjects: Sequence[Subject], folder: Path) -> None:
    """Grids from the same noise: `<subject>-<steps>.png`."""
    folder.mkdir()
    for images, subject in zip(np.split(shown, len(subjects)), subjects, strict=True):
        name = subject.name.replace(",", "").replace(" ", "-")
        write_grid(images / 255, folder / f"{name}-{subject.steps}.png")
