"""Standard normal noise, each sample's from a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def normal_noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Draw (N, *shape) float32 on the CPU."""
    import torch

    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(tuple(shape), generator=g) for g in generators])
