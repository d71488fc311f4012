"""How far from one rung the next may be."""

from __future__ import annotations

import numpy as np

from raybilevel.upper.bisection import farthest
from raybilevel.upper.ladder.strata import effective_shares
from raybilevel.upper.prompts import Prompts

_LEAST = 0.72  # then halfway between two rungs 0.89 of their samples are effective


def next_steps(
    prompts: Prompts,
    tilt: np.ndarray,
    effective: np.ndarray,
    sds: np.ndarray,
    log_base: np.ndarray | None = None,
) -> np.ndarray:
    """(C,) how far along a tilt (n,) prompts' samples stay effective: in [0, 1].

    As far for all of them, in standard deviations of the tilt, as they are on average: each has few
    chains, and a step as far as these happen to allow would bias what they say of Z.

    Parameters
    ----------
    prompts : of the samples of one rung.
    effective : (C,) the share of samples that has to be, in (0, 1).
    sds : (C,) standard deviations of the tilt under p0; 0 of a prompt that stays where it is.
    log_base : (n,) log-weights that make of the samples those that are to stay effective.
    """
    ordered, moving = tilt[prompts.order], sds > 0
    base = None if log_base is None else log_base[prompts.order]
    if not moving.any():
        return np.ones(len(sds))

    def shares(steps: np.ndarray) -> np.ndarray:
        return effective_shares(prompts, prompts.each(steps) * ordered, base) / effective

    def steps(reach: np.ndarray) -> np.ndarray:
        return np.where(moving, np.minimum(reach, sds) / np.where(moving, sds, 1.0), 1.0)

    def enough(reach: np.ndarray) -> np.ndarray:
        there, own = steps(reach) == 1.0, shares(steps(reach))
        going = own[moving & ~(there & (own >= 1.0))]
        return np.asarray(going.mean() >= 1.0 if going.size else True)

    return steps(farthest(enough, sds.max()))


def steps_allowed(prompts: Prompts, tilt: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """(C,) the farthest, in [0, 1], at which a prompt has `_LEAST` of the wanted share.

    Parameters
    ----------
    tilt : (n,) of the samples that go there; effective : (C,) the share that has to be.
    """
    ordered = tilt[prompts.order]

    def left(steps: np.ndarray) -> np.ndarray:
        shares = effective_shares(prompts, prompts.each(steps) * ordered) / effective
        return np.asarray(shares >= _LEAST)

    return farthest(left, np.ones(len(effective)))
