"""Particles that are moved in the noise of a sampler, and stored as the seeds of their moves.

All noise of a sampler is z ~ N(0, I). A move proposes z' = sqrt(1 - rho^2) z + rho xi with xi of
the same law, which keeps it, so that what decides is the tilt alone (preconditioned Crank-Nicolson:
Cotter, Roberts, Stuart & White 2013, arXiv 1202.0709, section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_ACCEPTANCE = 0x61636370
"""Keeps the numbers that decide on a move apart from those that propose it, which share a seed."""


@dataclass(frozen=True)
class Lineage:
    """Where a particle is: the seed of its first noise, then those of its accepted moves.

    Attributes
    ----------
    seeds : of z_0, then of each move's xi.
    rhos : of each move: one fewer.
    """

    seeds: tuple[int, ...]
    rhos: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Hold the two against each other."""
        assert len(self.seeds) == len(self.rhos) + 1, "a lineage has a rho for each move"

    @property
    def moved(self) -> bool:
        """Whether it has left the noise that its first seed gives."""
        return bool(self.rhos)

    def then(self, seed: int, rho: float) -> Lineage:
        """Where it is after one more move."""
        return Lineage((*self.seeds, seed), (*self.rhos, rho))


def replayed(noise: Callable[[Sequence[int]], Tensor], lineages: Sequence[Lineage]) -> Tensor:
    """The noise (N, ...) of particles, to the bit as it was when they moved.

    Parameters
    ----------
    noise : maps n seeds to (n, ...) standard normal numbers.
    """
    z = noise([lineage.seeds[0] for lineage in lineages])
    for move in range(max(len(lineage.rhos) for lineage in lineages)):
        rows = [i for i, lineage in enumerate(lineages) if move < len(lineage.rhos)]
        xi = noise([lineages[i].seeds[move + 1] for i in rows])
        z[rows] = proposed(z[rows], xi, [lineages[i].rhos[move] for i in rows])
    return z


def proposed(z: Tensor, xi: Tensor, rhos: Sequence[float]) -> Tensor:
    """Noise (N, ...) that each particle would move to.

    Parameters
    ----------
    z, xi : (N, ...), where it is, and fresh noise.
    rhos : (N,) in (0, 1]; at 1 nothing of z is kept.
    """
    import torch

    rho = np.asarray(rhos, dtype=np.float64)
    shape = (-1, *[1] * (z.dim() - 1))
    keep, take = (torch.from_numpy(c).to(z).reshape(shape) for c in (np.sqrt(1 - rho**2), rho))
    return keep * z + take * xi


def accepts(tilts: np.ndarray, proposed_tilts: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """Which proposals are accepted (N,), each with probability min(1, exp(its tilt - the old one)).

    Parameters
    ----------
    tilts, proposed_tilts : (N,) s.r2 before and after.
    seeds : of the moves, which no others share; the first of them decides on all.
    """
    # -log of a uniform number is exponential, and never infinite as drawn here
    thresholds = np.random.default_rng([seeds[0], _ACCEPTANCE]).standard_exponential(len(seeds))
    return np.asarray(proposed_tilts - tilts >= -thresholds)
