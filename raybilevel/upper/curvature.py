"""The Hessian of the upper objective on a pool, from what its gradient is made of: no more passes.

The objective is Phi(s, kappa) with s = w / lambda, by which samples are tilted, and kappa =
gamma lambda, by which r1 is divided. A step along s_l tilts p_x by r2_l, and what a tilt does to an
estimate its influences say (Hampel 1974, J. Am. Stat. Assoc. 69, 383-393): for g_k = dL/dw_k

    dg_k/dw_l  = E_{p0}[influence of g_k times r2_l] / lambda

The rest is the chain rule through s and kappa, whose part vanishes as gamma goes to infinity.
"""

from __future__ import annotations

import math

import numpy as np

from raybilevel.upper.penalty import Estimate, Pool


def hessian(
    pool: Pool, estimate: Estimate, lambda_: float, weights: np.ndarray, gamma: float = math.inf
) -> np.ndarray:
    """Second derivatives (1 + K, 1 + K) with respect to (lambda, w_1, ..., w_K), symmetric.

    Parameters
    ----------
    estimate : of the same pool at the same lambda, weights (K,) and gamma.
    """
    gradient = estimate.gradient[1:]
    among = estimate.gradient_influence[:, 1:].T @ pool.lower / (pool.n * lambda_)
    among = (among + among.T) / 2
    mixed, own = _through_kappa(pool, estimate, lambda_, gamma)
    h = np.empty((1 + len(weights),) * 2)
    h[1:, 1:] = among
    h[0, 1:] = h[1:, 0] = (mixed - gradient - among @ weights) / lambda_
    h[0, 0] = own + (weights @ (among @ weights) + 2 * (gradient - mixed) @ weights) / lambda_**2
    return h


def _through_kappa(
    pool: Pool, estimate: Estimate, lambda_: float, gamma: float
) -> tuple[np.ndarray, float]:
    """Give gamma d2Phi / ds dkappa (K,) and gamma^2 d2Phi / dkappa^2."""
    if math.isinf(gamma):
        return np.zeros(pool.lower.shape[1]), 0.0
    q = estimate.tilts[-1]
    c = q.centred(pool.upper)
    mixed = estimate.gradient[1:] + q.mean(c[:, None] * pool.lower) / lambda_
    return mixed, -float(q.mean(c**2)) / (gamma * lambda_**3)
