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
from raybilevel.upper.resampling import systematic

_EFFECTIVE = 0.5  # of a group's particles: with fewer it is resampled


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

    def at(self, part: slice) -> Steering:
        """For some whole groups alone."""
        groups = slice(part.start // self.each, part.stop // self.each)
        scales = self.scales[part]
        return replace(self, scales=scales, seeds=self.seeds[groups], first=self.first + part.start)

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
        for i, seed in enumerate(steering.seeds):
            group = slice(i * steering.each, (i + 1) * steering.each)
            weights = _weights(tilts[group] - self.paid[group])
            if 1 / np.sum(weights**2) < _EFFECTIVE * steering.each:
                rng = np.random.default_rng([seed, step])
                taken[group] = taken[group][systematic(weights, len(weights), rng)]
                self.paid[group] = tilts[taken[group]]
        done.prev_sample = done.prev_sample[torch.from_numpy(taken).to(done.prev_sample.device)]
        return done


def _weights(tilts: np.ndarray) -> np.ndarray:
    weights = np.exp(tilts - tilts.max())
    return np.asarray(weights / weights.sum())
