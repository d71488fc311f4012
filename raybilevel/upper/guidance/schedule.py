"""How strongly each step is guided: a schedule of two numbers, chosen on paths of p0.

The gradient of a reward at the predicted clean sample says less the more noise there is; at full
strength from the first step on, few paths hold all the weight (Xiao et al. 2025, arXiv 2502.08808,
leave it at that). So tau_t = c abar_t^p, abar_t the scheduler's `alphas_cumprod`: of those that are
tried the one whose weights have the smallest second moment, where p0 still knows it,

    E_q[w^2] = E_{p0}[exp(2 s.r - log q / p0)]
"""

from __future__ import annotations

from itertools import product

import numpy as np

from raybilevel.upper.bisection import farthest
from raybilevel.upper.prompts import Prompts

_FACTORS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_POWERS = (0.0, 0.5, 1.0, 2.0, 4.0)
_EFFECTIVE = 0.1  # of the paths of p0, where schedules are compared
_MOST = 2.0**20  # of a tilt that is the same for all


def schedules(alphas_cumprod: np.ndarray) -> list[np.ndarray]:
    """Those that are tried, (T,) each: unguided first."""
    tried = [c * alphas_cumprod**p for c, p in product(_FACTORS, _POWERS)]
    return [np.zeros_like(alphas_cumprod), *tried]


def choose_schedule(
    prompts: Prompts, alphas_cumprod: np.ndarray, tilt: np.ndarray, u: np.ndarray, v: np.ndarray
) -> np.ndarray:
    """The schedule (T,) for going along a tilt.

    Parameters
    ----------
    prompts : which prompt each path (n,) of p0 is of.
    alphas_cumprod : (T,) of each step.
    tilt : (n,) s.r of each path; u, v : (n, T) s.u_t and s.v_t.s, of an s of any size: it is made
        smaller or larger until p0 knows what is there.
    """
    size = _known(prompts, tilt)

    def second_moment(taus: np.ndarray) -> float:
        log_ratio = size * (u @ taus) - size**2 * (v @ taus**2) / 2
        order = prompts.order
        second = prompts.log_means((2 * size * tilt - log_ratio)[order])
        return float(prompts.shares @ np.exp(second - 2 * prompts.log_means(size * tilt[order])))

    return min(schedules(alphas_cumprod), key=second_moment)


def _known(prompts: Prompts, tilt: np.ndarray) -> float:
    """The size of the tilt at which so many paths of p0 are effective."""
    ordered = tilt[prompts.order]

    def effective(size: float | np.ndarray) -> float:
        log_z, log_second = (prompts.log_means(k * size * ordered) for k in (1, 2))
        return 1 / float(prompts.shares @ np.exp(log_second - 2 * log_z))

    most = 1.0
    while effective(most) > _EFFECTIVE and most < _MOST:
        most *= 2
    return float(farthest(lambda size: np.asarray(effective(size) > _EFFECTIVE), np.array(most)))
