"""Both intervals of an optimum, or of where a target is reached: each point is estimated once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from raybilevel.upper.interval import Degrees, Interval, sandwich
from raybilevel.upper.penalty import Estimate
from raybilevel.upper.within import FEWEST_PROMPTS, EstimateOverPrompts

Scaled = Callable[[np.ndarray], tuple[Estimate, np.ndarray]]
"""Maps scaled coordinates (d,) to the estimate there, and what its gradient's columns (d,) are to
be multiplied by."""


def intervals(
    at: Scaled,
    columns: list[int],
    z: np.ndarray,
    hessian: np.ndarray,
    *,
    df: float | Degrees,
) -> tuple[Interval, Interval | None]:
    """Over prompts for these, and for prompts like these, which takes enough of them.

    Parameters
    ----------
    at : has a gradient whose `columns` are zero at `z` (d,), with the derivatives `hessian` (d, d).
    df : of the first interval, as for `sandwich`.
    """
    fewest = 0
    of_prompts: dict[bytes, np.ndarray] = {}  # (C, d), where a point's estimate is many times that

    def influence(point: np.ndarray) -> np.ndarray:
        nonlocal fewest
        e, slopes = at(point)
        if isinstance(e, EstimateOverPrompts) and e.fewest_prompts >= FEWEST_PROMPTS:
            fewest = e.fewest_prompts
            of_prompts[point.tobytes()] = e.gradient_influence_of_prompts[:, columns] * slopes
        return e.gradient_influence[:, columns] * slopes

    found = sandwich(influence, z, hessian, df=df)
    if not of_prompts:
        return found, None
    like = sandwich(lambda point: of_prompts[point.tobytes()], z, hessian, df=fewest - 1)
    return found, None if like.is_flat else like
