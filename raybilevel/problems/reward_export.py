"""What a reward run leaves behind: pipeline, samples before and after, the objective's curve."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.reward_solver import Solver
from raybilevel.upper.variables import Variable

_POINTS = 121
_COLUMNS = 8
_SCALE = 4  # pixels a pixel, for images that are small


def write_pipeline(source: Path | None, directory: Path) -> None:
    """Copy the pretrained pipeline, unchanged; nothing where the model is a callable."""
    if source is not None:
        shutil.copytree(source, directory / "pipeline")


def write_samples(state: Arrays, directory: Path) -> None:
    """PNG grids of samples from p0 and from p_x, where the samples are images."""
    folder = directory / "samples"
    folder.mkdir()
    for name in ("before", "after"):
        samples = state.get(f"samples_{name}")
        if samples is not None and samples.ndim == 4 and samples.shape[1] in (1, 3):
            _write_grid(samples, folder / f"{name}.png")


def _write_grid(images: np.ndarray, path: Path) -> None:
    """A grid of images (N, C, H, W) in [0, 1], eight in a row, one pixel apart."""
    from PIL import Image

    n, c, h, w = images.shape
    rows = -(-n // _COLUMNS)
    grid = np.zeros((rows * _COLUMNS, c, h + 1, w + 1), dtype=np.uint8)
    grid[:n, :, :h, :w] = np.round(images * 255)
    grid = grid.reshape(rows, _COLUMNS, c, h + 1, w + 1).transpose(0, 3, 1, 4, 2)
    pixels = grid.reshape(rows * (h + 1), _COLUMNS * (w + 1), c)
    image = Image.fromarray(pixels[..., 0] if c == 1 else pixels)
    scale = _SCALE if max(h, w) <= 64 else 1
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(path)


def write_curve(
    solver: Solver, x: np.ndarray, variables: Sequence[Variable], directory: Path
) -> None:
    """`curve.parquet`: the objective over each variable's bounds, the others held at `x`.

    Columns: variable, value, upper_loss, upper_loss_se, ess, healthy. Where not healthy the
    numbers are for the picture alone, to show where they stop.
    """
    import pandas as pd

    rows = []
    for i, v in enumerate(variables):
        low, high = v.to_scaled(v.low), v.to_scaled(v.high)
        for z in np.linspace(low, high, _POINTS):
            point = x.copy()
            point[i] = v.from_scaled(z)
            e, health = solver.look(point)
            rows.append((v.name, point[i], e.value, e.value_se, health.ess, health.ok))
    names = ["variable", "value", "upper_loss", "upper_loss_se", "ess", "healthy"]
    pd.DataFrame(rows, columns=names).to_parquet(directory / "curve.parquet")
