"""Models that are functions of noise, and rewards of what they draw, as a user would give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

DIMENSIONS = 64
NOISE = 0.5
"""Standard deviation of what no node knows of the upper reward: the last coordinate's."""

OfSamples = Callable[[np.ndarray], np.ndarray]
"""Maps samples (n, k), or nodes, to rewards (n,)."""


OfNoise = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps all noise but the last coordinate (n, 63), and the number of each sample's prompt (n,), to
samples (n, k)."""


@dataclass(frozen=True, eq=False)
class ModelOfNoise:
    """A function of noise (N, 64), as `RewardTuning` takes one."""

    push: OfNoise

    noise_shape: ClassVar[tuple[int, ...]] = (DIMENSIONS,)

    def __call__(self, noise: Tensor) -> Tensor:
        """Samples (N, k + 1), whose last column is the noise of the upper reward."""
        return _pushed(self.push, noise, np.zeros(len(noise), np.int64))


@dataclass(frozen=True, eq=False)
class ModelOfPrompts:
    """A function of noise (N, 64) and prompts, which are numbers."""

    push: OfNoise

    noise_shape: ClassVar[tuple[int, ...]] = (DIMENSIONS,)

    def __call__(self, noise: Tensor, prompts: Sequence[str]) -> Tensor:
        """Samples (N, k + 1), as of a `ModelOfNoise`."""
        return _pushed(self.push, noise, np.array(prompts, np.int64))


def _pushed(push: OfNoise, noise: Tensor, of: np.ndarray) -> Tensor:
    import torch

    z = noise.numpy().astype(np.float64)
    return torch.from_numpy(np.column_stack([push(z[:, :-1], of), NOISE * z[:, -1]]))


@dataclass(frozen=True, eq=False)
class ReadReward:
    """A reward of samples, read from all columns but the last; with that, if it is noisy."""

    read: OfSamples
    noisy: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """(N,) of samples (N, k + 1)."""
        import torch

        u = images.numpy()
        return torch.from_numpy(self.read(u[:, :-1]) + (u[:, -1] if self.noisy else 0.0))
