"""Grids of samples as PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

COLUMNS = 8
_SCALE = 4  # pixels a pixel, for images that are small


def write_grid(images: np.ndarray, path: Path, columns: int = COLUMNS) -> None:
    """A grid of images (N, C, H, W) in [0, 1], so many in a row, one pixel apart."""
    from PIL import Image

    n, c, h, w = images.shape
    rows = -(-n // columns)
    grid = np.zeros((rows * columns, c, h + 1, w + 1), dtype=np.uint8)
    grid[:n, :, :h, :w] = np.round(images * 255)
    grid = grid.reshape(rows, columns, c, h + 1, w + 1).transpose(0, 3, 1, 4, 2)
    pixels = grid.reshape(rows * (h + 1), columns * (w + 1), c)
    image = Image.fromarray(pixels[..., 0] if c == 1 else pixels)
    scale = _SCALE if max(h, w) <= 64 else 1
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(path)
