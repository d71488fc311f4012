"""Oracles for guided paths: a stock pipeline of Gaussian pixels, and rewards that have a gradient.

In units of what the sampler draws pixels are independent standard normal numbers u; the last one is
the noise of the upper reward. What is known is known as of the oracles for samples that move, which
they are too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.testing.annealed_models import NOISE, OfSamples
from raybilevel.testing.annealed_oracle import AnnealedOracle
from raybilevel.testing.annealed_oracles import bowl, bowl_nodes, normal_nodes

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 20
SIDES = (2, 4, 8, 16)


@dataclass(frozen=True, eq=False)
class PixelReward:
    """A reward of images, read from all pixels but the last; with that, if it is noisy.

    What is noisy has no gradient.
    """

    read: OfSamples
    noisy: bool

    @cached_property
    def _unit(self) -> float:
        from raybilevel.testing.gaussian_pipeline import SD, variance

        return SD * math.sqrt(variance(STEPS)) / 2

    def __call__(self, images: Tensor) -> Any:
        """(N,) of images (N, 1, S, S)."""
        u: Any = (images.flatten(1) - 0.5) / self._unit
        if not self.noisy:
            return self.read(u[:, :-1])
        u = u.detach().cpu().double().numpy()
        return self.read(u[:, :-1]) + NOISE * u[:, -1]


def _first(u: Any) -> Any:
    return u[:, 0]


def _bent(u: Any) -> Any:
    return -0.3 * u[:, 0] ** 2


def _bowl(u: Any, rest: int) -> Any:
    return bowl(u[:, 0], (u[:, 1:] ** 2).sum(1), rest)


def _falling(u: np.ndarray) -> np.ndarray:
    return np.asarray(-4.0 * np.exp(-u[:, 0] / 2))


def linear_pixels(side: int) -> AnnealedOracle:
    """r2 is one pixel of side^2."""
    return _oracle(f"linear, {side**2} pixels", side, _first, _bent, normal_nodes())


def bowl_pixels(side: int) -> AnnealedOracle:
    """r2 is minus the squared distance of all pixels from a point."""
    rest = side**2 - 2
    mass, nodes = bowl_nodes(rest)
    nodes[:, 1] = np.sqrt(nodes[:, 1])  # as a pixel whose square is all of it
    lower = partial(_bowl, rest=rest)
    return _oracle(f"bowl, {side**2} pixels", side, lower, _falling, (mass, nodes))


def _oracle(
    name: str, side: int, lower: OfSamples, base: OfSamples, nodes: tuple[np.ndarray, np.ndarray]
) -> AnnealedOracle:
    from raybilevel.testing.gaussian_pipeline import gaussian_pipeline

    drawing = {"sampling_steps": STEPS, "call_options": {"eta": 1.0}}
    model = partial(gaussian_pipeline, side)
    return AnnealedOracle(name, model, lower, base, [nodes], PixelReward, drawing)
