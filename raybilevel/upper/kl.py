"""KL(p_x || p0) on a pool, with its gradient, and how much each sample moves them.

With the tilt t = sum_k s_k h_k, s = w / lambda, h_k = r2_k, and Z = E_{p0}[exp t]

    KL = E_p[t] - log Z      dKL/ds_k = Cov_p(t, h_k)      dKL/dlambda = -Var_p(t) / lambda

(Xiao et al. 2025, arXiv 2502.08808, section 3.1, for p_x): it falls with lambda, so that one lambda
has a KL that is asked for. Over prompts it is the average of theirs by shares. A pool's own is too
small, by some z^2 / 2 with z the relative standard error of Z: the jackknife corrects it, of one
prompt too. What a ladder's rungs say of their Z is estimated anew without each island.
"""

from __future__ import annotations

import numpy as np

from raybilevel.upper.island_sums import tilted_sums
from raybilevel.upper.jackknife import jackknife
from raybilevel.upper.ladder.strata import Strata
from raybilevel.upper.natural import Coordinates
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts, TiltedWithin
from raybilevel.upper.within import EstimateWithin, over_prompts


def kl_estimate(
    pool: Pool,
    prompts: Prompts | None,
    lambda_: float,
    weights: np.ndarray,
    strata: Strata | None = None,
) -> EstimateWithin:
    """KL(p_x || p0) in nats at (lambda, weights), with its gradient.

    Parameters
    ----------
    prompts : each with two samples at least; None where all are of one.
    lambda_ : KL strength, above 0.
    weights : (K,) weights of the lower rewards.
    strata : the rungs of moved samples, which lie in islands; None of p0's.
    """
    if prompts is None:
        prompts = Prompts(np.zeros(pool.n, dtype=np.int64), np.ones(1))
    lower = pool.lower @ weights
    p = TiltedWithin(prompts, (lower - lower.max()) / lambda_, pool.base)
    h = pool.lower[prompts.order] - prompts.each(p.means(pool.lower))
    t = h @ weights / lambda_  # as far from its mean as h: a KL knows no constant
    rows = np.column_stack([np.ones(p.n), t, h, t[:, None] * h])
    base = np.broadcast_to(pool.base, p.n)[prompts.order]
    changes = None if strata is None else strata.without_islands[:, prompts.order]
    sums = tilted_sums(prompts, t + base, changes).of(rows)
    counts, units = prompts.counts, prompts.units
    left = units.each(counts) - prompts.sizes
    found = jackknife(
        units,
        _statistics(sums.whole, sums.whole_scale - np.log(counts)),
        _statistics(sums.without, sums.without_scale - np.log(left)),
    )
    return over_prompts(units, found, Coordinates(lambda_, weights), (p,))


def _statistics(sums: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """KL and its gradient in y, (..., 2 + K), from sums (..., 2 + 2 K) of 1, t, h and t h."""
    k = sums.shape[1] // 2 - 1
    log_z = np.log(sums[:, 0]) + scale
    means = sums[:, 1:] / sums[:, :1]
    t, h, th = means[:, 0], means[:, 1 : 1 + k], means[:, 1 + k :]
    return np.column_stack([t - log_z, th - t[:, None] * h, np.zeros(len(sums))])
