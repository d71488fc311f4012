"""Thickness of strokes, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raybilevel.rewards.builtin import Reward

if TYPE_CHECKING:
    from torch import Tensor

_TINY = 1e-12  # under the square root, so that flat parts have a gradient


def thickness(device: str) -> Reward:
    """Mean width of bright strokes on black, in pixels; 0 where there are none."""
    return stroke_width


def stroke_width(images: Tensor) -> Tensor:
    """Twice the area of the strokes over the length of their edges.

    A stripe of width w and length l has the area w l and edges of 2 l. The length is the total
    variation (coarea formula), so grey pixels count as far as they are bright.

    Parameters
    ----------
    images : (N, C, H, W) in [0, 1].

    Returns
    -------
    (N,), in pixels.
    """
    from torch.nn.functional import pad

    bright = pad(images.mean(1), (1, 1, 1, 1))
    across, down = bright[:, :-1].diff(dim=-1), bright[..., :-1].diff(dim=-2)
    edges = (across.square() + down.square() + _TINY).sqrt().flatten(1).sum(1)
    return 2 * bright.flatten(1).sum(1) / edges
