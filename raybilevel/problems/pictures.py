"""Grids of samples as PNG files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 8
_SCALE = 4  # pixels a pixel, for images that are small
_NARROWEST = 80  # pixels under a caption


def write_grid(images: np.ndarray, path: Path, columns: int = COLUMNS) -> None:
    """A grid of images (N, C, H, W) in [0, 1], so many in a row, one pixel apart."""
    _grid(images, columns, _scale_of(images)).save(path)


def write_captioned_grid(
    images: np.ndarray, captions: Sequence[str], path: Path, columns: int
) -> None:
    """The same with a short caption (N,) above each image, which is shown larger if need be."""
    from PIL.ImageDraw import Draw
    from PIL.ImageFont import load_default

    h, w = images.shape[2:]
    scale = max(_scale_of(images), math.ceil(_NARROWEST / w))
    letters = scale * w // 8
    band = math.ceil(1.4 * letters / scale)
    image = _grid(np.pad(images, [(0, 0), (0, 0), (band, 0), (0, 0)]), columns, scale)
    draw, font = Draw(image), load_default(letters)
    for i, caption in enumerate(captions):
        row, column = divmod(i, columns)
        corner = (column * (w + 1) * scale, row * (band + h + 1) * scale)
        draw.text(corner, caption, fill="white", font=font)
    image.save(path)


def _scale_of(images: np.ndarray) -> int:
    return _SCALE if max(images.shape[2:]) <= 64 else 1


def _grid(images: np.ndarray, columns: int, scale: int) -> Image:
    from PIL import Image

    n, c, h, w = images.shape
    rows = -(-n // columns)
    grid = np.zeros((rows * columns, c, h + 1, w + 1), dtype=np.uint8)
    grid[:n, :, :h, :w] = np.round(images * 255)
    grid = grid.reshape(rows, columns, c, h + 1, w + 1).transpose(0, 3, 1, 4, 2)
    pixels = grid.reshape(rows * (h + 1), columns * (w + 1), c)
    image = Image.fromarray(pixels[..., 0] if c == 1 else pixels)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
