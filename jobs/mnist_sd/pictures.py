"""Pictures to learn from: handwritten digits, redrawn in many strokes, slants, sizes and places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, pad

from raybilevel.rewards.thickness import stroke_width

SIZE = 32
_FINE = 4  # fine pixels to a side of a pixel: strokes are measured and drawn there
_HEIGHTS = (12.0, 26.0)  # in pixels
_STROKES = (0.065, 0.2)  # of the height
_SHEAR = 0.6  # of a column, added to the writer's own slant
_MARGIN = 1.0  # pixels around a digit
_AT_ONCE = 250


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures and what is measured on them.

    Attributes
    ----------
    images : (N, 1, 32, 32) in [0, 1].
    labels : (N,) int64, the digits.
    stroke : (N,) mean width of the stroke, in heights of the digit.
    slant : (N,) columns to the right for a row upwards, by the second moments.
    height : (N,) in pixels.
    right, down : (N,) how far the middle of the digit is from the picture's, in pixels.
    """

    images: Tensor
    labels: Tensor
    stroke: Tensor
    slant: Tensor
    height: Tensor
    right: Tensor
    down: Tensor


def centred(images: Tensor) -> Tensor:
    """The digits as they were written: (N, 1, 28, 28) with two black pixels on each side."""
    return pad(images, (2, 2, 2, 2))


def redrawn(images: Tensor, labels: Tensor, times: int, seed: int) -> Pictures:
    """Each digit `times` times, at random. Images are (N, 1, 28, 28) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    labels = labels.repeat(times)
    batches = images.repeat(times, 1, 1, 1).split(_AT_ONCE)
    drawn = torch.cat([_redraw(batch, generator) for batch in batches])
    return measured(drawn, labels)


def measured(images: Tensor, labels: Tensor) -> Pictures:
    """Pictures (N, 1, 32, 32) with their measures."""
    left, right, top, bottom = _edges(images)
    height = bottom - top
    middle = (SIZE - 1) / 2
    return Pictures(
        images, labels,
        stroke=stroke_width(images) / height,
        slant=_slant(images),
        height=height,
        right=(left + right) / 2 - middle - 0.5,
        down=(top + bottom) / 2 - middle - 0.5,
    )  # fmt: skip


def _redraw(images: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 1, 28, 28) to (N, 1, 32, 32)."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(images), generator=generator)

    height, stroke, shear = uniform(*_HEIGHTS), uniform(*_STROKES), uniform(-_SHEAR, _SHEAR)
    across, along = (_place(uniform(-1, 1), uniform(0, 1)) for _ in range(2))
    fine = _drawn_at(centred(images), height - stroke * height, shear)
    inside = torch.as_tensor(np.stack([_signed_distance(f) for f in fine[:, 0].numpy()]))
    # The stroke that is asked for: the edge is moved by half of what is missing.
    missing = (stroke * height * _FINE - _fine_width(inside)) / 2
    redrawn = (inside + missing[:, None, None] + 0.5).clamp(0, 1)[:, None]
    return avg_pool2d(_moved(redrawn, across, along), _FINE)


def _place(share: Tensor, chance: Tensor) -> Tensor:
    """Shares of the room that is left, in [-1, 1]: half of them near the middle."""
    return torch.where(chance < 0.5, 0.2 * share, share)


def _drawn_at(images: Tensor, height: Tensor, shear: Tensor) -> Tensor:
    """In the middle, in fine pixels, so high in pixels and sheared."""
    left, right, top, bottom = _edges(images)
    scale = (bottom - top) / height
    middle = torch.stack([(left + right), (top + bottom)], 1) / SIZE - 1
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, 0, 1] = scale, scale, scale * shear
    theta[:, :, 2] = middle
    grid = affine_grid(theta, [len(images), 1, SIZE * _FINE, SIZE * _FINE], align_corners=False)
    return grid_sample(images, grid, mode="bicubic", align_corners=False).clamp(0, 1)


def _signed_distance(image: np.ndarray) -> np.ndarray:
    """To the edge of the ink, in fine pixels, above 0 inside."""
    ink = image > 0.5
    return (distance_transform_edt(ink) - distance_transform_edt(~ink)).astype(np.float32)


def _fine_width(inside: Tensor) -> Tensor:
    return stroke_width((inside + 0.5).clamp(0, 1)[:, None])


def _moved(fine: Tensor, across: Tensor, along: Tensor) -> Tensor:
    """By shares of the room that is left; `across` and `along` are in [-1, 1]."""
    left, right, top, bottom = _edges(fine)
    side = SIZE * _FINE
    room = [(side - (b - a)) / 2 - _MARGIN * _FINE for a, b in ((left, right), (top, bottom))]
    ends = zip((left, right), (top, bottom), strict=True)
    low, high = ends
    shifts = [
        share * wide.clamp(min=0) - ((a + b) / 2 - side / 2)
        for share, wide, a, b in zip((across, along), room, low, high, strict=True)
    ]
    return torch.stack([
        torch.roll(f, (round(float(down)), round(float(right))), dims=(-2, -1))
        for f, right, down in zip(fine, *shifts, strict=True)
    ])  # fmt: skip


def _edges(images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where the ink (above a half) begins and ends: left, right, top and bottom (N,), in pixels."""
    ink = images[:, 0] > 0.5
    size = images.shape[-1]
    ends = []
    for any_ink in (ink.any(1), ink.any(2)):
        ends.append(any_ink.float().argmax(1).float())
        ends.append(size - any_ink.flip(1).float().argmax(1).float())
    left, right, top, bottom = ends
    return left, right, top, bottom


def _slant(images: Tensor) -> Tensor:
    ink = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    along = torch.arange(images.shape[-1], dtype=torch.float32)
    across, up = along[None, None, :], -along[None, :, None]
    across = across - (ink * across).sum((1, 2), keepdim=True)
    up = up - (ink * up).sum((1, 2), keepdim=True)
    return (ink * across * up).sum((1, 2)) / (ink * up.square()).sum((1, 2))
