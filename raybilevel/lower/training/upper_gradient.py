"""The gradient of the upper objective f in a network's weights, for z = argmin f / gamma + g.

f is a function of the moments of samples' features, such as FID. Of a single batch that would be
mostly bias: so f is taken to first order about the moments of a whole evaluation, which makes it a
mean over samples. Two ways to differentiate it (Xiao et al. 2025, arXiv 2502.08808, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raybilevel.lower.sampling.level_sampler import LevelSampler
from raybilevel.lower.training.parameter_vector import ParameterVector

_NUDGE = 2e-3  # of a weight's usual size: half the distance of a pair in weight space


class Linearised:
    """A function of moments to first order: <d/dE[h], h> + <d/dE[h h^T], h h^T>, h the features.

    Parameters
    ----------
    mean, outer : (F,) and (F, F), the derivatives.
    """

    def __init__(self, mean: np.ndarray, outer: np.ndarray, device: torch.device) -> None:
        self._mean, self._outer = (
            torch.tensor(slope, dtype=torch.float32, device=device) for slope in (mean, outer)
        )

    def __call__(self, features: Tensor) -> Tensor:
        """() of features (n, F)."""
        return (features @ self._mean + ((features @ self._outer) * features).sum(1)).mean()


@dataclass(frozen=True, eq=False)
class UpperGradient:
    """Adds the gradient of f to a network's.

    Attributes
    ----------
    sampler, weights : the network, and its parameter vector.
    extractor : of features.
    grad_steps : last sampling steps that "truncated" goes back through.
    """

    sampler: LevelSampler
    weights: ParameterVector
    extractor: Callable[[Tensor], Tensor]
    grad_steps: int

    def truncated(self, f: Linearised, noise: Tensor, levels: list[float], scale: float) -> Tensor:
        """Back through the last sampling steps; gives scale times f ()."""
        loss = scale * self._value(f, noise, levels, self.grad_steps)
        loss.backward()
        return loss.detach()

    @torch.no_grad()
    def two_point(
        self, f: Linearised, noise: Tensor, levels: list[float], scale: float, way: Tensor
    ) -> Tensor:
        """One antithetic pair along `way` (P,), normal: its mean is the gradient (Algorithm 5)."""
        parameter = self.weights.parameter
        here, way = parameter.clone(), way.to(parameter)
        step = _NUDGE * here.square().mean().sqrt()
        values = []
        for sign in (1, -1):
            parameter.copy_(here + sign * step * way)
            values.append(scale * self._value(f, noise, levels, 0))
        parameter.copy_(here)
        above, below = values
        self.weights.grad.add_((above - below) / (2 * step) * way)
        return (above + below) / 2

    def _value(self, f: Linearised, noise: Tensor, levels: list[float], grad_steps: int) -> Tensor:
        images = self.sampler.solve(noise.to(self.sampler.device), levels, grad_steps)
        return f(self.extractor(images.float()))

    def nfe(self, levels: int, by_pairs: bool) -> int:
        """Evaluations a sample of one gradient: a backward pass counts as two."""
        return 2 * levels if by_pairs else levels + 2 * min(self.grad_steps, levels)
