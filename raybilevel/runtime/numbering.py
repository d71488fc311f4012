"""A stage's place in its run, and the shards in it: numbers decide all randomness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.problems.base import Shard, Stage


@dataclass(frozen=True)
class NumberedShard:
    """A shard, and where in its run it is."""

    round: int
    stage: int
    index: int
    shard: Shard

    @property
    def kind(self) -> str:
        """The name of the shard's class."""
        return type(self.shard).__name__

    def key(self, seed: int) -> int:
        """The only source of the shard's randomness: 64 bits from the run's seed and its place."""
        words = np.random.SeedSequence([seed, self.round, self.stage, self.index])
        return int(words.generate_state(1, np.uint64)[0])

    def __str__(self) -> str:
        return f"shard {self.index} of round {self.round}, stage {self.stage} ({self.kind})"


@dataclass(frozen=True)
class NumberedStage:
    """A stage, and where in its run it is: the `stage`-th of its round, both from 0."""

    round: int
    stage: int
    content: Stage

    @property
    def shards(self) -> list[NumberedShard]:
        """The stage's shards, numbered."""
        place = self.round, self.stage
        return [NumberedShard(*place, i, shard) for i, shard in enumerate(self.content.shards)]
