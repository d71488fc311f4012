"""The reward problem's lower level in one process: draws samples of p0 and asks the rewards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError, RunError
from raybilevel.imports import in_one_line
from raybilevel.problems.base import Arrays, Output
from raybilevel.problems.reward.model import SampleFunction
from raybilevel.problems.reward.shards import DrawRewards, DrawSamples
from raybilevel.rewards import evaluate, load_reward

if TYPE_CHECKING:
    from torch import Tensor


_SHOWN = 4  # seeds of a batch in a sentence


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
        with _naming("the model", seeds):
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
            with _naming(f"reward '{column}'", seeds):
                values = evaluate(reward, samples, f"reward '{column}'")
            _check_finite(values, seeds, f"reward '{column}'")
            rows[f"pool/{column}"] = values
        return rows


class UserCodeError(RuntimeError):
    """A user's model or reward raised on a batch, whose seeds are in a note.

    No `RunError`: what asks a network for its numbers may do better when it is asked again.
    """


@contextmanager
def _naming(what: str, seeds: Sequence[int]) -> Iterator[None]:
    """Say whose code raised, and on which samples."""
    try:
        yield
    except (InputError, RunError):
        raise
    except Exception as error:  # whatever a user's code may raise
        shown = ", ".join(map(str, seeds[:_SHOWN]))
        more = f" and {len(seeds) - _SHOWN} more" if len(seeds) > _SHOWN else ""
        raised = UserCodeError(f"{what} failed on the seeds {shown}{more}: {in_one_line(error)}")
        raised.add_note(f"the seeds of the batch: {list(seeds)}")
        raise raised from error


def _check_finite(values: np.ndarray, seeds: Sequence[int], what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise RunError(
            f"{what} gave {values[bad[0]]} for the sample of seed {seeds[bad[0]]}; it must be a "
            "finite number for every sample"
        )
