"""What a reward run leaves behind: pipeline, samples before and after, the objective's curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from raybilevel.lower.sampling.pipeline_loading import copy_pipeline
from raybilevel.problems.base import Arrays
from raybilevel.problems.pictures import write_grid
from raybilevel.problems.reward.model import Model
from raybilevel.problems.reward.pool_objective import PoolObjective

_POINTS = 121


def write_pipeline(model: Model, directory: Path) -> None:
    """Copy the pretrained pipeline; nothing where the model is a callable."""
    if model.directory is not None:
        copy_pipeline(model.directory, directory / "pipeline", model.variant)


def write_samples(state: Arrays, directory: Path) -> None:
    """PNG grids of samples from p0 and from p_x, where the samples are images."""
    folder = directory / "samples"
    folder.mkdir()
    for name in ("before", "after"):
        samples = state.get(f"samples_{name}")
        if samples is not None and samples.ndim == 4 and samples.shape[1] in (1, 3):
            write_grid(samples, folder / f"{name}.png")


def write_curve(objective: PoolObjective, x: np.ndarray, directory: Path) -> None:
    """`curve.parquet`: the objective over each variable's bounds, the others held at `x` (d,).

    Columns: variable, value, upper_loss, upper_loss_se, ess, healthy. Where a gate fails (not
    `healthy`) the numbers are for the picture alone, to show where they stop.
    """
    import pandas as pd

    rows = []
    for i, v in enumerate(objective.variables):
        low, high = v.to_scaled(v.low), v.to_scaled(v.high)
        for z in np.linspace(low, high, _POINTS):
            values = x.copy()
            values[i] = v.from_scaled(z)
            point = objective.at(values)
            e, found = point.estimate, point.diagnostics
            rows.append((v.name, values[i], e.value, e.value_se, found.ess, found.ok))
    names = ["variable", "value", "upper_loss", "upper_loss_se", "ess", "healthy"]
    pd.DataFrame(rows, columns=names).to_parquet(directory / "curve.parquet")
