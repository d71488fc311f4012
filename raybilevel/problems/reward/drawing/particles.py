"""Where particles are: what a worker moved before it need not replay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from cachetools import LRUCache

from raybilevel.lower.sampling.annealing import Lineage, replayed

if TYPE_CHECKING:
    from torch import Tensor

MOST_BYTES = 2**28
"""Of noise that a worker remembers: the rungs before, of 64 numbers a sample; of some 1,600 samples
with all noise of 50 steps of 28 x 28 pixels."""


class Particles:
    """Noise of particles by their lineages; those used least lately are forgotten.

    Parameters
    ----------
    noise : maps n seeds to (n, ...) standard normal numbers.
    """

    def __init__(self, noise: Callable[[Sequence[int]], Tensor]) -> None:
        self._noise = noise
        self._known: LRUCache[int, tuple[Lineage, Tensor]] = LRUCache(
            MOST_BYTES, lambda known: known[1].nbytes
        )

    def at(self, lineages: Sequence[Lineage]) -> Tensor:
        """(N, ...) of particles, to the bit the same whether they are remembered or replayed."""
        import torch

        found = {lineage: self._remembered(lineage) for lineage in lineages}
        lost = [lineage for lineage, row in found.items() if row is None]
        found |= zip(lost, replayed(self._noise, lost) if lost else (), strict=True)
        return torch.stack([found[lineage] for lineage in lineages])  # type: ignore[misc]

    def remember(self, lineages: Iterable[Lineage], z: Tensor) -> None:
        """Keep where particles are: z (N, ...)."""
        for lineage, row in zip(lineages, z, strict=True):
            if row.nbytes <= MOST_BYTES:
                # a copy: a view would keep all of its batch
                self._known[lineage.seeds[-1]] = lineage, row.clone()

    def _remembered(self, lineage: Lineage) -> Tensor | None:
        # by the last seed, which is hashed faster than hundreds of numbers, and held against all
        known, row = self._known.get(lineage.seeds[-1], (None, None))
        return row if known == lineage else None
