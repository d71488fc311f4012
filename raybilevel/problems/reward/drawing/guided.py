"""Guided paths in a worker: drawn, rewarded, and what their densities are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import UnguidableError
from raybilevel.problems.asked_rewards import said_of_prompts
from raybilevel.problems.base import Arrays, Output
from raybilevel.problems.reward.drawing.batch import Batches
from raybilevel.problems.reward.drawing.paths import rows_of
from raybilevel.problems.reward.models.base import DrawnSamples
from raybilevel.problems.reward.shards import GuidePairs, GuidePaths
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
        taus = np.broadcast_to(shard.taus, terms.u.shape[1])
        u = np.einsum("t,ntk->nk", taus, terms.u.numpy())
        v = np.einsum("t,ntkl->nkl", taus**2, terms.v.numpy())
        rows = rows_of(u, v)
    return _with(output, rows, terms)


def guided_pairs(batches: Batches, shard: GuidePairs) -> Output:
    """Rows of the pool, and beside each what the path of p_{x,gamma} from its seed says."""
    paths, plain = shard.paths, guided_paths(batches, shard.paths)
    scales = np.column_stack([paths.scales, np.full(len(paths.seeds), shard.upper)])
    columns = {**batches.lower, "upper": batches.rewards["upper"]}
    along = along_all(batches, columns, paths, scales)
    drawn, terms = _guided(batches, paths, [[1.0]] * len(scales), along)
    output = batches.rewarded(drawn, paths.seeds, paths.prompts)
    told = ("pool/upper", *(f"pool/{column}" for column in batches.lower))
    rows = {name.replace("pool/", "penalised/"): output.rows[name] for name in told}
    taus = np.broadcast_to(0.0 if paths.taus is None else paths.taus, terms.v.shape[1])
    rows["penalised/kl"] = terms.v[:, :, 0, 0].numpy() @ taus**2 / 2
    penalised = _with(output, rows, terms)
    lost = [each.sums["without_gradient"] for each in (plain, penalised)]
    return Output(
        {**plain.sums, "without_gradient": np.concatenate(lost, axis=1)},
        plain.rows | rows,
        plain.nfe + output.nfe,
        {part: spent + output.seconds[part] for part, spent in plain.seconds.items()},
    )


def guided_samples(batches: Batches, shard: GuidePaths) -> DrawnSamples:
    """The samples of a shard's paths."""
    return _drawn(batches, shard)[0]


def _with(output: Output, rows: Arrays, terms: PathTerms) -> Output:
    lost = {"without_gradient": np.sum(~terms.finite.numpy(), axis=0)}
    return replace(output, rows={**output.rows, **rows}, sums={**output.sums, **lost})


def _drawn(batches: Batches, shard: GuidePaths) -> tuple[DrawnSamples, PathTerms]:
    scores = scores_with_gradient(batches, batches.lower, shard.prompts)
    return _guided(batches, shard, shard.scales, scores)


def _guided(
    batches: Batches, shard: GuidePaths, scales: Sequence[Sequence[float]], scores: Scores
) -> tuple[DrawnSamples, PathTerms]:
    """Along given scores (N, K), with scales like them."""
    import torch

    from raybilevel.lower.sampling.guidance.call import Guide

    guide = Guide(scores, torch.tensor(scales, dtype=torch.float64), shard.taus)
    return batches.guided(shard.seeds, shard.prompts, guide)


def along_all(
    batches: Batches, columns: Mapping[str, Reward], shard: GuidePaths, scales: np.ndarray
) -> Scores:
    """One score (N, 1): the rewards of some columns by each sample's scales (N, columns)."""
    import torch

    scores = scores_with_gradient(batches, columns, shard.prompts)

    def together(images: Tensor, rows: range) -> Tensor:
        found = scores(images, rows)
        return (found * torch.tensor(scales[rows.start : rows.stop]).to(found)).sum(1, keepdim=True)

    return together


def scores_with_gradient(
    batches: Batches, columns: Mapping[str, Reward], places: Sequence[int] | None
) -> Scores:
    """Rewards (N, K) of images, in the order of their columns.

    Parameters
    ----------
    places : of the prompts of all samples that are asked for.

    Raises
    ------
    UnguidableError
        When it is called, of a reward whose scores have no gradient.
    """

    def scores(images: Tensor, rows: range) -> Tensor:
        import torch

        here = None if places is None else [places[row] for row in rows]
        said = {"prompts": None, "metadata": None} | said_of_prompts(batches.prompts, here)
        asked = [_with_gradient(reward, c, images, said) for c, reward in columns.items()]
        return torch.stack([one.to(images.device) for one in asked], 1)

    return scores


def _with_gradient(reward: Reward, column: str, images: Tensor, said: Mapping[str, Any]) -> Tensor:
    where = f"reward '{column}'"
    without = UnguidableError(
        f"samples are to be guided, but {where} has no gradient with respect to its images; "
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
