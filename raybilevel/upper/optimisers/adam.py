"""Projected Adam on scaled coordinates, whose state is plain arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from raybilevel.upper.variables import Vector

_BETAS = (0.8, 0.95)  # short memories: an upper level makes tens of steps, not thousands
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Adam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980, Algorithm 1), then a projection.

    Attributes
    ----------
    z : (d,) scaled coordinates.
    mean, square : (d,) moving averages of the gradient and of its square.
    steps : how many have been made.
    """

    z: Vector
    mean: Vector
    square: Vector
    steps: int

    @classmethod
    def begin(cls, z: Vector) -> Adam:
        """Before the first step."""
        return cls(z, np.zeros_like(z), np.zeros_like(z), 0)

    def step(
        self, gradient: Vector, size: float | Vector, project: Callable[[Vector], Vector]
    ) -> Adam:
        """One step of about `size`, one or (d,), in each coordinate, against `gradient` (d,)."""
        first, second = _BETAS
        steps = self.steps + 1
        mean = first * self.mean + (1 - first) * gradient
        square = second * self.square + (1 - second) * gradient**2
        move = mean / (1 - first**steps) / np.sqrt(square / (1 - second**steps) + _TINY)
        return replace(self, z=project(self.z - size * move), mean=mean, square=square, steps=steps)


def cosine_decay(step: int, steps: int) -> float:
    """Share of the step size before step `step` of `steps`: half a cosine from 1 down to 0."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))
