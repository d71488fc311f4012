"""Two networks from the same start on the same draws, one of them for the upper objective too.

    y = argmin g(q, y),   z = argmin f(q, z) / gamma + g(q, z)
    dF/dq ~ df/dq(q, z) + gamma (dg/dq(q, z) - dg/dq(q, y))     (times 1/gamma in the paper)

Xiao et al. 2025, arXiv 2502.08808, section 3.2, Algorithm 6. The difference is a small one of two
large things: where z and y come from different starts, or have seen different batches, it is noise
times gamma. So both make the same number of steps from the same start on the same draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybilevel.lower.training.trainer import Accumulate, Learner, Trainer


@dataclass(frozen=True, eq=False)
class PenaltyPair:
    """Where both went.

    Attributes
    ----------
    y, z : the learners.
    losses : of y, before each step.
    slope_y, slope_z : dg/dq (m, d) at y and at z, on the same m batches.
    """

    y: Learner
    z: Learner
    losses: list[float]
    slope_y: np.ndarray
    slope_z: np.ndarray


def train_pair(
    trainer: Trainer,
    start: Learner,
    first: int,
    draws: Sequence[Any],
    *,
    lower: Callable[[Any], Accumulate],
    upper: Accumulate,
    slopes: Callable[[], np.ndarray],
) -> PenaltyPair:
    """Steps on `draws` for y by g, for z by g + f / gamma.

    Parameters
    ----------
    trainer, start, first : as `Trainer.run` takes them.
    lower : for a draw, what adds the gradient of g there.
    upper : adds the gradient of f / gamma.
    slopes : dg/dq (m, d) at the weights that the network holds.
    """

    def both(draw: Any) -> Accumulate:
        by_lower = lower(draw)
        return lambda: by_lower() + upper()

    y, losses = trainer.run(start, first, map(lower, draws))
    slope_y = slopes()
    z, _ = trainer.run(start, first, map(both, draws))
    return PenaltyPair(y, z, losses, slope_y, slopes())
