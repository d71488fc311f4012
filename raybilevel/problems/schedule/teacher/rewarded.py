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
    found = [_along(draws, shard, lists) for lists in zip(*shard.pairs, strict=True)]
    columns, slopes, nfe = zip(*found, strict=True)
    rows = {
        "count": np.array([float(len(shard.draws.seeds))]),
        "slopes": np.array([slopes]) / 2,
        "curvatures": inner_products(columns)[None],
    }
    return Output(rows=rows, nfe=sum(nfe))


def _along(
    draws: PairedDraws, shard: RewardDifferences, lists: Sequence[tuple[Sigmas, Sigmas]]
) -> tuple[np.ndarray, float, int]:
    """Along one variable: images' slopes (n, D), the sum of the reward's, and evaluations."""
    columns, slope, nfe = [], 0.0, 0
    for pair in lists:
        (up, first), (down, second) = (
            draws.images(shard.draws, Through(sigmas=sigmas, exact=True)) for sigmas in pair
        )
        gained = draws.rewarded(shard.draws, up) - draws.rewarded(shard.draws, down)
        slope += float(gained.sum()) / (2 * shard.delta * len(lists))
        columns.append((as_rows(up) - as_rows(down)) / (2 * shard.delta))
        nfe += first + second
    return np.concatenate(columns).astype(np.float32), slope, nfe
