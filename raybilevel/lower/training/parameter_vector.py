"""A network's weights as one vector: how they travel, are averaged, and are stepped."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class ParameterVector:
    """One buffer for a network's weights and one for their gradients, which its parameters view.

    Attributes
    ----------
    parameter : (P,) float32, the weights, whose `grad` is a buffer that `backward` adds to.
    """

    def __init__(self, network: nn.Module) -> None:
        parameters = list(network.parameters())
        values = torch.cat([p.detach().flatten() for p in parameters]).float()
        self.parameter = nn.Parameter(values)
        self.parameter.grad = torch.zeros_like(values)
        sizes = [p.numel() for p in parameters]
        parts = zip(parameters, values.split(sizes), self.parameter.grad.split(sizes), strict=True)
        for parameter, value, grad in parts:
            parameter.data = value.view_as(parameter)
            parameter.requires_grad_(True)
            parameter.grad = grad.view_as(parameter)

    @property
    def grad(self) -> Tensor:
        """(P,) gradients."""
        assert self.parameter.grad is not None, "the buffer stays for good"
        return self.parameter.grad

    def load(self, weights: np.ndarray) -> None:
        """Put weights (P,) into the network."""
        with torch.no_grad():
            self.parameter.copy_(torch.tensor(weights))  # a copy: broadcasts are read-only

    def numpy(self) -> np.ndarray:
        """A copy of the weights (P,)."""
        return to_numpy(self.parameter)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A copy on the CPU, float32."""
    return tensor.detach().float().cpu().numpy().copy()
