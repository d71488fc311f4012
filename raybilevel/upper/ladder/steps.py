"""How far from one rung the next may be."""

from __future__ import annotations

import numpy as np

from raybilevel.upper.bisection import farthest
from raybilevel.upper.ladder.strata import effective_shares
from raybilevel.upper.prompts import Prompts

_LEAST = 0.72  # then halfway between two rungs 0.89 of their samples are effective


def next_steps(
    prompts: Prompts, tilt: np.ndarray, effective: np.ndarray, sds: np.ndarray
) -> np.ndarray:
    """(C,) how far along a tilt (n,) prompts' samples stay effective: in [0, 1].

    As far for all of them, in standard deviations of the tilt, as they are on average: each has few
    chains, and a step as far as these happen to allow would bias what they say of Z. None goes so
    far that less than `_LEAST` of the wanted share is left of its own.

    Parameters
    ----------
    prompts : of the samples of one rung.
    effective : (C,) the share of samples that has to be, in (0, 1).
    sds : (C,) standard deviations of the tilt under p0; 0 of a prompt that stays where it is.
    """
    ordered, moving = tilt[prompts.order], sds > 0
    if not moving.any():
        return np.ones(len(sds))

    def shares(steps: np.ndarray) -> np.ndarray:
        return effective_shares(prompts, prompts.each(steps) * ordered) / effective

    def steps(reach: np.ndarray) -> np.ndarray:
        return np.where(moving, np.minimum(reach, sds) / np.where(moving, sds, 1.0), 1.0)

    def enough(reach: np.ndarray) -> np.ndarray:
        there, own = steps(reach) == 1.0, shares(steps(reach))
        going = own[moving & ~(there & (own >= 1.0))]
        return np.asarray(going.mean() >= 1.0 if going.size else True)

    reach = farthest(enough, sds.max())
    return np.minimum(steps(reach), farthest(lambda t: shares(t) >= _LEAST, np.ones(len(sds))))
