"""Whether samples can be guided, and what their parts cost: tried in a worker."""

from __future__ import annotations

import numpy as np

from raybilevel.errors import TooLargeError, UnguidableError
from raybilevel.problems.base import Output
from raybilevel.problems.reward.drawing.batch import Batches
from raybilevel.problems.reward.drawing.guided import guided_paths
from raybilevel.problems.reward.drawing.steered import lower_scores
from raybilevel.problems.reward.shards import TryGuiding

_PARTS = 3


def tried(batches: Batches, shard: TryGuiding) -> Output:
    """Draw the paths of a shard, and count a sample's operations; neither where they cannot be."""
    try:
        drawn = guided_paths(batches, shard.paths)
    except UnguidableError as why:
        none = {"guidable": np.array(0), "operations": np.zeros(_PARTS)}
        return Output(none | {"too_large": np.array(int(isinstance(why, TooLargeError)))})
    able = {"guidable": np.array(1), "too_large": np.array(0)}
    sums = able | {"operations": _operations(batches, shard)}
    return Output(sums, nfe=drawn.nfe, seconds=drawn.seconds)


def _operations(batches: Batches, shard: TryGuiding) -> np.ndarray:
    """Of one sample, whose prompt has been encoded before."""
    from torch.utils.flop_counter import FlopCounterMode

    prompts = None if shard.paths.prompts is None else shard.paths.prompts[:1]
    network, decoding, drawn = batches.operations(prompts)
    with FlopCounterMode(display=False) as counter:
        lower_scores(batches, prompts)(drawn.samples, range(1))
    return np.array([network, decoding, counter.get_total_flops()], float)
