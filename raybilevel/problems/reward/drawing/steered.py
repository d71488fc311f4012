"""Steered particles in a worker: drawn in groups, of each of which one is rewarded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.problems.asked_rewards import said_of_prompts
from raybilevel.problems.base import Output
from raybilevel.problems.reward.drawing.batch import Batches
from raybilevel.problems.reward.shards import SteerParticles
from raybilevel.rewards import evaluate

if TYPE_CHECKING:
    from torch import Tensor

    from raybilevel.lower.sampling.guidance.call import Scores

_CHOICE = 2**31  # no sampler makes so many steps


def steered_groups(batches: Batches, shard: SteerParticles) -> Output:
    """Rows of one particle a group, drawn by what it weighs at the end."""
    import torch

    from raybilevel.lower.sampling.guidance.steering import Steering

    scales = torch.tensor(shard.scales, dtype=torch.float64)
    groups = shard.seeds[:: shard.each]
    steering = Steering(lower_scores(batches, shard.prompts), scales, groups)
    drawn, paid = batches.steered(shard.seeds, shard.prompts, steering)
    output = batches.rewarded(drawn, shard.seeds, shard.prompts)
    lower = np.column_stack([output.rows[f"pool/{column}"] for column in batches.lower])
    left = (np.sum(lower * np.array(shard.scales), axis=1) - paid).reshape(len(groups), -1)
    chosen = [
        first * shard.each + _one(tilts, np.random.default_rng([seed, _CHOICE]))
        for first, (seed, tilts) in enumerate(zip(groups, left, strict=True))
    ]
    return replace(output, rows={name: rows[chosen] for name, rows in output.rows.items()})


def _one(tilts: np.ndarray, rng: np.random.Generator) -> int:
    weights = np.exp(tilts - tilts.max())
    return int(rng.choice(len(tilts), p=weights / weights.sum()))


def lower_scores(batches: Batches, places: Sequence[int] | None) -> Scores:
    """The lower rewards (N, K) of images, in the order of their columns; without a gradient.

    Parameters
    ----------
    places : of the prompts of all samples that are asked for.
    """

    def scores(images: Tensor, rows: range) -> Tensor:
        import torch

        here = None if places is None else [places[row] for row in rows]
        said = said_of_prompts(batches.prompts, here)
        asked = [evaluate(r, images, f"reward '{c}'", **said) for c, r in batches.lower.items()]
        return torch.from_numpy(np.column_stack(asked))

    return scores
