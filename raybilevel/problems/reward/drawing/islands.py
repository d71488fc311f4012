"""Islands of guided paths in a worker: resampled on their way, and once more at their end.

One gradient is enough, that of s.r: nobody asks for their density under another s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.problems.base import Output
from raybilevel.problems.reward.drawing.batch import Batches
from raybilevel.problems.reward.drawing.guided import along_all
from raybilevel.problems.reward.models.base import DrawnSamples
from raybilevel.problems.reward.shards import GuideIslands

if TYPE_CHECKING:
    from raybilevel.lower.sampling.guidance.call import PathTerms
    from raybilevel.lower.sampling.guidance.path_groups import PathGroups


def guided_islands(batches: Batches, shard: GuideIslands) -> Output:
    """Rows of what the islands deliver."""
    drawn, terms, groups = _drawn(batches, shard)
    output = batches.rewarded(drawn, shard.paths.seeds, shard.paths.prompts)
    lower = np.column_stack([output.rows[f"pool/{column}"] for column in batches.lower])
    tilts = np.sum(lower * np.array(shard.paths.scales), axis=1)
    assert terms.weights is not None, "paths in islands weigh something"
    chosen, log_z, ancestors = terms.weights.at_end(groups, tilts)
    rows = {name: row[chosen] for name, row in output.rows.items()}
    rows |= {
        "pool/seed": output.rows["pool/seed"],
        "pool/path": chosen % shard.each,
        "pool/ancestor": ancestors,
        "log_z": np.repeat(log_z, shard.each),
    }
    lost = np.sum(~terms.finite.numpy(), axis=0)
    return replace(output, rows=rows, sums={**output.sums, "without_gradient_together": lost})


def picked_samples(batches: Batches, islands: GuideIslands, picked: Sequence[int]) -> DrawnSamples:
    """Some of the paths of islands, all of which are drawn."""
    drawn = _drawn(batches, islands)[0]
    return replace(drawn, samples=drawn.samples[list(picked)])


def _drawn(batches: Batches, shard: GuideIslands) -> tuple[DrawnSamples, PathTerms, PathGroups]:
    import torch

    from raybilevel.lower.sampling.guidance.call import Guide
    from raybilevel.lower.sampling.guidance.path_groups import PathGroups

    paths = shard.paths
    groups = PathGroups(paths.seeds[:: shard.each], shard.each)
    along = along_all(batches, batches.lower, paths, np.array(paths.scales))
    ones = torch.ones(len(paths.seeds), 1, dtype=torch.float64)
    guide = Guide(along, ones, paths.taus, islands=groups)
    return *batches.guided(paths.seeds, paths.prompts, guide), groups
