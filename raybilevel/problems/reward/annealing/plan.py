"""How particles go down a ladder: in which islands, by how many moves.

Numbers were chosen on Gaussians, quadratics and mixtures of 1 to 64 dimensions, where p0 keeps 1,
0.1 and 0.01 % of its samples: few long chains, short rungs, and moves until correlations fall are
what makes stated errors true. `jobs/bench/annealed.py` prints it for others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

FEWEST_ISLANDS = 16
"""Of one prompt: fewer do not tell how sure an estimate is."""

_IN_ALL = 30  # of several prompts, at least
_MOVES = 32
_MIXING = 12.0  # moves of a chain times rho^2: what a chain forgets of where it was
_MOST_APART = 8


@dataclass(frozen=True)
class LadderPlan:
    """Islands, chains and moves of a rung.

    Attributes
    ----------
    islands : of each prompt.
    chains : of each island.
    shard_size : chains that a worker moves at once, at most: as many as it draws of p0.
    """

    islands: int
    chains: int
    shard_size: int

    moves: ClassVar[int] = _MOVES
    """Of a chain at a rung, at least: fewer lag behind the rung, and its errors are understated."""

    kept: ClassVar[int] = _MOVES // 2
    """States of a chain that count for the rung, from the last half of its moves."""

    effective: ClassVar[float] = 0.9
    """Share of effective samples at which the next rung is."""

    @classmethod
    def of(cls, islands: int, size: int, shard_size: int, prompts: int) -> LadderPlan:
        """For about `size` samples a rung, of so many prompts.

        Several prompts have as many islands each as they have chains, but no more than one prompt
        has: what each says is corrected by leaving one out. Two they have at least, and 30 in all.
        """
        of_each, least = size // (prompts * _MOVES), max(2, math.ceil(_IN_ALL / prompts))
        each = islands if prompts == 1 else max(min(of_each, islands), least)
        chains = max(round(of_each / each), 1)
        return cls(each, chains, shard_size)

    def apart(self, rho: float) -> int:
        """Moves between states that count, where moves go so far."""
        return min(math.ceil(_MIXING / (self.moves * rho**2)), _MOST_APART)

    @property
    def samples_per_prompt(self) -> int:
        """That a rung has at least: of the last half of every chain."""
        return self.islands * self.chains * self.kept

    @property
    def evaluations_per_prompt(self) -> int:
        """Of a rung, in those of as many samples."""
        return self.islands * self.chains * self.moves
