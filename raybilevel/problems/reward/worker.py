"""The reward problem's lower level in one process: draws samples of p0 and asks the rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import RunError
from raybilevel.problems.base import Arrays, Output
from raybilevel.problems.reward.model import SampleFunction
from raybilevel.problems.reward.shards import DrawRewards, DrawSamples
from raybilevel.rewards import evaluate, load_reward

if TYPE_CHECKING:
    from torch import Tensor


class RewardWorker:
    """Runs `DrawRewards` and `DrawSamples`.

    Parameters
    ----------
    sample : draws from p0.
    nfe_per_sample : network evaluations that one sample costs.
    rewards : by column of the pool, as `load_reward` takes them.
    """

    def __init__(
        self, sample: SampleFunction, nfe_per_sample: int, rewards: Mapping[str, Any], device: str
    ) -> None:
        self._sample, self._nfe_per_sample = sample, nfe_per_sample
        self._rewards = {
            column: load_reward(spec, column, device) for column, spec in rewards.items()
        }

    def run(
        self, shard: DrawRewards | DrawSamples, broadcast: Mapping[str, np.ndarray], key: int
    ) -> Output:
        """Draw the samples of the shard's seeds; what is random about them is in the seeds."""
        seeds = list(shard.seeds)
        samples = self._sample(seeds)
        _check_finite(samples.flatten(1).sum(1).numpy(), seeds, "the sampler")
        nfe = len(seeds) * self._nfe_per_sample
        match shard:
            case DrawRewards():
                return Output(rows=self._pool_rows(samples, seeds), nfe=nfe)
            case DrawSamples():
                return Output(rows={"samples": samples.numpy()}, nfe=nfe)

    def _pool_rows(self, samples: Tensor, seeds: Sequence[int]) -> Arrays:
        rows = {"pool/seed": np.array(seeds, dtype=np.int64)}
        for column, reward in self._rewards.items():
            values = evaluate(reward, samples, column)
            _check_finite(values, seeds, f"reward '{column}'")
            rows[f"pool/{column}"] = values
        return rows


def _check_finite(values: np.ndarray, seeds: Sequence[int], what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise RunError(
            f"{what} gave {values[bad[0]]} for the sample of seed {seeds[bad[0]]}; it must be a "
            "finite number for every sample"
        )
