"""The reward problem's lower level in one process: draws samples of p0 and asks the rewards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from raybilevel.problems.base import Output, Shard
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.drawing.batch import Batches
from raybilevel.problems.reward.drawing.chains import moved, samples_of
from raybilevel.problems.reward.drawing.guided import guided_pairs, guided_paths
from raybilevel.problems.reward.drawing.islands import guided_islands
from raybilevel.problems.reward.drawing.steered import steered_groups
from raybilevel.problems.reward.drawing.trial import tried
from raybilevel.problems.reward.models.base import Sampler
from raybilevel.problems.reward.shards import (
    DrawRewards,
    DrawSamples,
    GuideIslands,
    GuidePairs,
    GuidePaths,
    MoveParticles,
    SteerParticles,
    TryGuiding,
)
from raybilevel.rewards import Reward


class RewardWorker:
    """Runs all shards of `raybilevel.problems.reward.shards`.

    Parameters
    ----------
    sampler : draws from p0.
    rewards : by column of the pool.
    prompts : the list that shards name places of; None without prompts.
    remarks : what a user should know of the model that was loaded here.
    """

    def __init__(
        self,
        sampler: Sampler,
        rewards: Mapping[str, Reward],
        prompts: PromptList | None = None,
        remarks: Sequence[str] = (),
    ) -> None:
        self._batches = Batches(sampler, rewards, prompts)
        self.remarks = tuple(remarks)

    def try_guiding(self, *, pairs: bool) -> None:
        """Draw a guided path, or a pair, to see whether there can be any: `InputError` if not."""
        scales = ((0.0,) * len(self._batches.lower),)
        prompts = None if self._batches.prompts is None else (0,)
        paths = GuidePaths((0,), scales, None, prompts)
        if pairs:
            guided_pairs(self._batches, GuidePairs(paths, 0.0))
        else:
            guided_paths(self._batches, paths)

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Draw the samples of the shard's seeds; what is random about them is in the seeds."""
        return _RUNS[type(shard)](self._batches, shard)


def _rewarded(batches: Batches, shard: DrawRewards) -> Output:
    drawn = batches.of_seeds(shard.seeds, shard.prompts)
    return batches.rewarded(drawn, shard.seeds, shard.prompts)


def _samples(batches: Batches, shard: DrawSamples) -> Output:
    drawn = samples_of(batches, shard)
    rows = {"samples": drawn.samples.numpy()}
    return Output(rows=rows, nfe=drawn.nfe, seconds=drawn.seconds)


_RUNS: dict[type[Shard], Callable[[Batches, Any], Output]] = {
    DrawRewards: _rewarded,
    MoveParticles: moved,
    GuidePaths: guided_paths,
    GuidePairs: guided_pairs,
    GuideIslands: guided_islands,
    TryGuiding: tried,
    SteerParticles: steered_groups,
    DrawSamples: _samples,
}


class TableWorker:
    """Where the pool is a table there are no shards."""

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Never called."""
        raise AssertionError("of a table nothing is drawn")
