"""What one process says of a reward: its values, and how levels change it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybilevel.problems.base import Output
from raybilevel.problems.schedule.teacher.drawing import PairedDraws, as_rows, inner_products
from raybilevel.problems.schedule.teacher.shards import (
    RewardDifferences,
    RewardValues,
    Sigmas,
    Through,
)


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
    draws: PairedDraws, shard: RewardDifferences, pairs: Sequence[tuple[Sigmas, Sigmas]]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Of one number of steps: sums of the reward's slopes (d,), J'J (d, d), and evaluations."""
    moving = [i for i, (up, down) in enumerate(pairs) if up != down]
    slopes, curvatures = np.zeros(len(pairs)), np.zeros((len(pairs), len(pairs)))
    columns, nfe = [], 0
    for i in moving:
        (up, first), (down, second) = (
            draws.images(shard.draws, Through(sigmas=sigmas, exact=True)) for sigmas in pairs[i]
        )
        gained = draws.rewarded(shard.draws, up) - draws.rewarded(shard.draws, down)
        slopes[i] = gained.sum() / (2 * shard.delta)
        column = (as_rows(up) - as_rows(down)) / (2 * shard.delta)
        columns.append(column.astype(np.float32))
        nfe += first + second
    curvatures[np.ix_(moving, moving)] = inner_products(columns)
    return slopes, curvatures, nfe
