"""The reward problem's lower level in one process: draws samples of p0 and asks the rewards."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.errors import InputError, RunError
from raybilevel.imports import in_one_line
from raybilevel.problems.base import Arrays, Output, Shard
from raybilevel.problems.reward.models.base import DrawnSamples, Sampler
from raybilevel.problems.reward.probe import said_of_prompts
from raybilevel.problems.reward.prompts import PromptList
from raybilevel.problems.reward.shards import DrawRewards, DrawSamples
from raybilevel.rewards import Reward, evaluate

if TYPE_CHECKING:
    from torch import Tensor

DRAWN_IN = "drawn_in_"
"""How keys of a state begin that count samples by the dtype that workers drew them in."""

_SHOWN = 4  # seeds of a batch in a sentence


class RewardWorker:
    """Runs `DrawRewards` and `DrawSamples`.

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
        self._sampler, self._rewards, self._prompts = sampler, rewards, prompts
        self.remarks = tuple(remarks)

    def run(
        self, shard: DrawRewards | DrawSamples, broadcast: Mapping[str, np.ndarray], key: int
    ) -> Output:
        """Draw the samples of the shard's seeds; what is random about them is in the seeds."""
        drawn = self._drawn(shard)
        match shard:
            case DrawRewards():
                begun = time.perf_counter()
                rows = self._pool_rows(drawn.samples, shard)
                seconds = {**drawn.seconds, "rewards": time.perf_counter() - begun}
                return Output(_sums(drawn), rows, drawn.nfe, seconds)
            case DrawSamples():
                rows = {"samples": drawn.samples.numpy()}
                return Output(rows=rows, nfe=drawn.nfe, seconds=drawn.seconds)

    def _drawn(self, shard: DrawRewards | DrawSamples) -> DrawnSamples:
        conditions = None
        if self._prompts is not None and shard.prompts is not None:
            conditions = [self._prompts.conditions[c] for c in shard.prompts]
        with _naming("the model", shard.seeds):
            drawn = self._sampler.draw(shard.seeds, conditions)
        _check_finite(drawn.samples.flatten(1).sum(1).numpy(), shard.seeds, "the sampler")
        return drawn

    def _pool_rows(self, samples: Tensor, shard: DrawRewards) -> Arrays:
        seeds = shard.seeds
        rows = {"pool/seed": np.array(seeds, dtype=np.int64)}
        if shard.prompts is not None:
            rows["pool/prompt"] = np.array(shard.prompts, dtype=np.int64)
        said = said_of_prompts(self._prompts, shard.prompts)
        for column, reward in self._rewards.items():
            with _naming(f"reward '{column}'", seeds):
                values = evaluate(reward, samples, f"reward '{column}'", **said)
            _check_finite(values, seeds, f"reward '{column}'")
            rows[f"pool/{column}"] = values
        return rows


class TableWorker:
    """Where the pool is a table there are no shards."""

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        """Never called."""
        raise AssertionError("of a table nothing is drawn")


def _sums(drawn: DrawnSamples) -> Arrays:
    sums = {} if drawn.blackened is None else {"blackened": np.array(drawn.blackened)}
    if drawn.dtype is not None:
        sums[f"{DRAWN_IN}{drawn.dtype}"] = np.array(len(drawn.samples))
    return sums


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
