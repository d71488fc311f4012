"""Guided paths in a worker: drawn, rewarded, and what their densities are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.problems.base import Output
from raybilevel.problems.reward.drawing.batch import Batches
from raybilevel.problems.reward.drawing.paths import rows_of
from raybilevel.problems.reward.models.base import DrawnSamples
from raybilevel.problems.reward.probe import said_of_prompts
from raybilevel.problems.reward.shards import GuidePaths
from raybilevel.rewards import Reward
from raybilevel.rewards.reading import call
from raybilevel.rewards.scores import is_tensor, scores_of

if TYPE_CHECKING:
    from torch import Tensor

    from raybilevel.lower.sampling.guidance.call import PathTerms, Scores


def guided_paths(batches: Batches, shard: GuidePaths) -> Output:
    """Rows of the pool, with what their densities are made of; without a schedule, step by step."""
    drawn, terms = _drawn(batches, shard)
    output = batches.rewarded(drawn, shard.seeds, shard.prompts)
    if shard.taus is None:
        levels = np.tile(terms.alphas_cumprod, (len(shard.seeds), 1))
        rows = {"u": terms.u.numpy(), "v": terms.v.numpy(), "alphas_cumprod": levels}
    else:
        taus = np.array(shard.taus)
        u = np.einsum("t,ntk->nk", taus, terms.u.numpy())
        v = np.einsum("t,ntkl->nkl", taus**2, terms.v.numpy())
        rows = rows_of(u, v)
    lost = {"without_gradient": np.sum(~terms.finite.numpy(), axis=0)}
    return replace(output, rows={**output.rows, **rows}, sums={**output.sums, **lost})


def guided_samples(batches: Batches, shard: GuidePaths) -> DrawnSamples:
    """The samples of a shard's paths."""
    return _drawn(batches, shard)[0]


def _drawn(batches: Batches, shard: GuidePaths) -> tuple[DrawnSamples, PathTerms]:
    import torch

    from raybilevel.lower.sampling.guidance.call import Guide

    scores = scores_with_gradient(batches, shard.prompts)
    guide = Guide(scores, torch.tensor(shard.scales, dtype=torch.float64), shard.taus)
    return batches.guided(shard.seeds, shard.prompts, guide)


def scores_with_gradient(batches: Batches, places: Sequence[int] | None) -> Scores:
    """The lower rewards (N, K) of images, in the order of their columns.

    Parameters
    ----------
    places : of the prompts of all samples that are asked for.

    Raises
    ------
    InputError
        When it is called, of a reward whose scores have no gradient.
    """

    def scores(images: Tensor, rows: range) -> Tensor:
        import torch

        here = None if places is None else [places[row] for row in rows]
        said = {"prompts": None, "metadata": None} | said_of_prompts(batches.prompts, here)
        asked = [_with_gradient(reward, c, images, said) for c, reward in batches.lower.items()]
        return torch.stack([one.to(images.device) for one in asked], 1)

    return scores


def _with_gradient(reward: Reward, column: str, images: Tensor, said: Mapping[str, Any]) -> Tensor:
    where = f"reward '{column}'"
    without = InputError(
        f"estimator is 'guided', but {where} has no gradient with respect to its images; "
        "annealed works without"
    )
    try:
        found = scores_of(call(reward, images, **said, where=where), images, where)
    except RuntimeError as error:
        if "requires grad" in str(error):  # what torch says where an array is asked for
            raise without from error
        raise
    if not is_tensor(found) or not found.requires_grad:
        raise without
    return found
