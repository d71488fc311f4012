"""Chains of particles, moved under p0 exp(s.r2), and samples of where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.lower.sampling.annealing import accepts, proposed
from raybilevel.problems.base import Arrays, Output
from raybilevel.problems.reward.drawing.batch import Batches
from raybilevel.problems.reward.drawing.guided import guided_samples
from raybilevel.problems.reward.drawing.islands import picked_samples
from raybilevel.problems.reward.models.base import DrawnSamples
from raybilevel.problems.reward.shards import DrawSamples, MoveParticles

if TYPE_CHECKING:
    from torch import Tensor

_LOWER = "pool/lower."


def moved(batches: Batches, shard: MoveParticles) -> Output:
    """All states of a shard's particles, in the order (move, particle)."""
    lineages, z = list(shard.lineages), batches.particles.at(shard.lineages)
    scales = np.array(shard.scales)
    values = {f"pool/{column}": np.array(row) for column, row in shard.rewards.items()}
    done = []
    for seeds in shard.seeds:
        further = proposed(z, batches.sampler.noise(seeds), shard.rhos)
        drawn = batches.of_noise(further, seeds, shard.prompts)
        output = batches.rewarded(drawn, seeds, shard.prompts)
        accepted = accepts(_tilts(values, scales), _tilts(output.rows, scales), seeds)
        for i in np.flatnonzero(accepted):
            lineages[i] = lineages[i].then(seeds[i], shard.rhos[i])
        z[accepted] = further[accepted]
        batches.particles.remember(compress(lineages, accepted), further[accepted])
        values = {c: np.where(accepted, output.rows[c], before) for c, before in values.items()}
        rows = {**output.rows, **values, "pool/accepted": accepted}
        done.append(replace(output, rows=rows))
    return _joined(done)


def samples_of(batches: Batches, shard: DrawSamples) -> DrawnSamples:
    """The samples that a shard asks for: those that were never moved are drawn by their seeds."""
    if shard.guided is not None:
        return guided_samples(batches, shard.guided)
    if shard.islands is not None:
        return picked_samples(batches, shard.islands, shard.picked)
    lineages, seeds = shard.lineages or (), np.array(shard.seeds)
    moved_rows = [i for i, lineage in enumerate(lineages) if lineage.moved]
    if not moved_rows:
        return batches.of_seeds(shard.seeds, shard.prompts)
    z = batches.particles.at([lineages[i] for i in moved_rows])
    rows = [i for i, lineage in enumerate(lineages) if not lineage.moved]
    drawn = [batches.of_noise(z, seeds[moved_rows].tolist(), _at(shard.prompts, moved_rows))]
    if rows:
        drawn.append(batches.of_seeds(seeds[rows].tolist(), _at(shard.prompts, rows)))
    return _in_order(drawn, moved_rows + rows)


def _at(places: Sequence[int] | None, rows: Sequence[int]) -> list[int] | None:
    return None if places is None else [places[i] for i in rows]


def _in_order(drawn: Sequence[DrawnSamples], rows: Sequence[int]) -> DrawnSamples:
    """Both parts as one, each sample in its row."""
    import torch

    together: Tensor = torch.cat([part.samples for part in drawn])
    samples = together[np.argsort(rows)]
    nfe = sum(part.nfe for part in drawn)
    return replace(drawn[0], samples=samples, nfe=nfe, seconds=_added([d.seconds for d in drawn]))


def _tilts(rows: Mapping[str, np.ndarray], scales: np.ndarray) -> np.ndarray:
    """s.r2 of each particle (N,), at scales (N, K)."""
    lower = np.stack([row for column, row in rows.items() if column.startswith(_LOWER)], 1)
    return np.asarray((scales * lower).sum(1))


def _joined(done: Sequence[Output]) -> Output:
    """Outputs of one move after the other."""
    rows: Arrays = {c: np.concatenate([o.rows[c] for o in done]) for c in done[0].rows}
    sums = {name: np.asarray(sum(o.sums[name] for o in done)) for name in done[0].sums}
    return Output(sums, rows, sum(o.nfe for o in done), _added([o.seconds for o in done]))


def _added(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0.0) for part in parts) for name in names}
