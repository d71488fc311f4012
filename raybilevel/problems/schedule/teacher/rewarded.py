"""What one process says of a reward: its values, and how levels change it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybilevel.problems.base import Output
from raybilevel.problems.schedule.teacher.drawing import (
    PairedDraws,
    along_each,
    as_rows,
    inner_products,
)
from raybilevel.problems.schedule.teacher.shards import Pair, RewardDifferences, RewardValues


def reward_values(draws: PairedDraws, shard: RewardValues) -> Output:
    """Of every list on the shard's noises."""
    rewards, nfe = [], 0
    for through in shard.lists:
        images, evaluations = draws.images(shard.draws, through)
        rewards.append(draws.rewarded(shard.draws, images))
        nfe += evaluations
    return Output(rows={"rewards": np.stack(rewards, axis=1)}, nfe=nfe)


def reward_differences(draws: PairedDraws, shard: RewardDifferences) -> Output:
    """Half the sums of the reward's slopes, and J'J of the images."""
    found = [_sums(draws, shard, pairs) for pairs in shard.pairs]
    slopes, curvatures, nfe = zip(*found, strict=True)
    rows = {
        "count": np.array([float(len(shard.draws.seeds))]),
        "slopes": np.mean(slopes, axis=0)[None] / 2,
        "curvatures": np.sum(curvatures, axis=0)[None],
    }
    return Output(rows=rows, nfe=sum(nfe))


def _sums(
    draws: PairedDraws, shard: RewardDifferences, pairs: Sequence[Pair]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Of one number of steps: sums of the reward's slopes (d,), J'J (d, d), and evaluations."""
    slopes, nfe = np.zeros(len(pairs)), 0
    columns: dict[int, np.ndarray] = {}
    for i, up, down, evaluations in along_each(draws.images, shard, pairs):
        gained = draws.rewarded(shard.draws, up) - draws.rewarded(shard.draws, down)
        slopes[i] = gained.sum() / (2 * shard.delta)
        column = (as_rows(up) - as_rows(down)) / (2 * shard.delta)
        columns[i] = column.astype(np.float32)
        nfe += evaluations
    return slopes, inner_products(columns, len(pairs)), nfe
