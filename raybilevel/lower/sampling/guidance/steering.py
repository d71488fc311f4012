"""Steering without gradients: particles of a pipeline's own call, resampled by what they promise.

Feynman-Kac steering (Singhal et al. 2025, arXiv 2501.06848, with their potentials of differences):
particles of one group weigh exp(s.r(x0_hat)) at every step, and are resampled where few of them
weigh much. With ever more particles what a group ends with is a sample of p_x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raybilevel.lower.sampling.guidance.call import Scores, stepping
from raybilevel.lower.sampling.guidance.decoding import Decode
from raybilevel.lower.sampling.guidance.path_groups import PathGroups


@dataclass(frozen=True)
class Steering:
    """How a shard's particles are steered.

    Attributes
    ----------
    scores : the rewards.
    scales : s (N, K) of each particle.
    seeds : of each of the groups, in which N / len(seeds) particles lie side by side.
    first : of the shard's particles that these are.
    """

    scores: Scores
    scales: Tensor
    seeds: Sequence[int]
    first: int = 0

    @property
    def each(self) -> int:
        """Particles of a group."""
        return len(self.scales) // len(self.seeds)

    @property
    def groups(self) -> PathGroups:
        """Of these particles."""
        return PathGroups(self.seeds, self.each)

    def at(self, part: slice) -> Steering:
        """For some whole groups alone."""
        scales, seeds = self.scales[part], self.groups.at(part).seeds
        return replace(self, scales=scales, seeds=seeds, first=self.first + part.start)

    def tilts(self, images: Tensor) -> np.ndarray:
        """s.r (N,) of the particles' images."""
        asked = self.scores(images, range(self.first, self.first + len(images)))
        return np.asarray((asked.double().cpu() * self.scales).sum(1).numpy())


class SteeredCall:
    """Steers calls of a pipeline that are made while it is entered.

    Parameters
    ----------
    pipeline : loaded, with a scheduler of `ANCESTRAL`.
    decode : maps predicted clean samples to images.
    """

    def __init__(self, pipeline: Any, decode: Decode) -> None:
        self._scheduler, self._decode = pipeline.scheduler, decode
        self.paid = np.zeros(0)
        """s.r (N,) at which each particle was resampled last: what it weighs no more."""

    @contextmanager
    def by(self, steering: Steering) -> Iterator[None]:
        """Steer one call."""
        self.paid = np.zeros(len(steering.scales))
        done = iter(range(2**31))

        def steered(step: Callable[..., Any], output: Tensor, t: Any, sample: Tensor) -> Any:
            return self._resampled(step(output, t, sample), steering, next(done))

        with stepping(self._scheduler, steered):
            yield

    def _resampled(self, done: Any, steering: Steering, step: int) -> Any:
        """What a step gives, in groups of which those that are uneven are resampled."""
        tilts = steering.tilts(self._decode(done.pred_original_sample))
        taken = np.arange(len(tilts))
        for _, group, chosen in steering.groups.uneven(tilts - self.paid, step):
            taken[group] = chosen
            self.paid[group] = tilts[chosen]
        done.prev_sample = done.prev_sample[torch.from_numpy(taken).to(done.prev_sample.device)]
        return done
