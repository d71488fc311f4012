"""The upper objective on a pool, its gradient, and how much each sample moves them.

Lower level: p_x ~ p0 exp(r2 / lambda), r2 = sum_k w_k r2_k. Upper level: F(x) = -E_{p_x}[r1].
With a finite penalty gamma the value function gap is added and p is solved for in closed form,
which leaves (Xiao et al. 2025, section 3.1, Algorithms 1 and 2; envelope theorem)

    L_gamma        = -gamma lambda log E_{p_x}[exp(r1 / (gamma lambda))]
    dL/dlambda     =  gamma (KL(p_{x,gamma} || p0) - KL(p_x || p0))
    dL/dw_k        = -gamma (E_{p_{x,gamma}}[r2_k] - E_{p_x}[r2_k])

and for gamma -> inf the exact F, Cov_{p_x}(r1, r2) / lambda^2 and -Cov_{p_x}(r1, r2_k) / lambda.
Written as above the difference of two KLs loses all digits by gamma = 1e8. Here all is written
through the mass moved from p_x to p_{x,gamma}, taken with `expm1`, which keeps them at any gamma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raybilevel.upper.tilting import Tilt, Tilted


@dataclass(frozen=True, eq=False)
class Pool:
    """Rewards of n samples, of p0 or of what moved them.

    Attributes
    ----------
    upper : (n,) float64, the upper reward r1.
    lower : (n, K) float64, the lower rewards r2_k.
    log_base : (n,) float64, log p0 / q of what drew the samples, q; None where p0 did. Estimates
        are then those within prompts, whose samples lie in islands.
    """

    upper: np.ndarray
    lower: np.ndarray
    log_base: np.ndarray | None = None

    @property
    def n(self) -> int:
        """Samples in the pool."""
        return int(self.upper.shape[0])

    @property
    def base(self) -> np.ndarray | float:
        """What log-weights begin with: `log_base`, or 0."""
        return 0.0 if self.log_base is None else self.log_base

    def at(self, rows: np.ndarray) -> Pool:
        """Some rows (m,) of it."""
        base = None if self.log_base is None else self.log_base[rows]
        return Pool(self.upper[rows], self.lower[rows], base)


@dataclass(frozen=True, eq=False)
class Estimate:
    """An objective and its gradient with respect to (lambda, w_1, ..., w_K).

    Attributes
    ----------
    value : the objective, to be minimised.
    gradient : (1 + K,)
    value_influence : (n,), gradient_influence : (n, 1 + K)
        Influence functions: what one sample, weighted n times its share, adds to the estimate.
        Each has mean zero; the standard error is their root mean square over sqrt(n).
    tilts : the tilted pools that the estimate leans on, for the gates.
    """

    value: float
    gradient: np.ndarray
    value_influence: np.ndarray
    gradient_influence: np.ndarray
    tilts: tuple[Tilt, ...]

    @property
    def value_se(self) -> float:
        """Standard error of `value`."""
        return float(np.sqrt(np.sum(self.value_influence**2))) / len(self.value_influence)

    @property
    def gradient_se(self) -> np.ndarray:
        """Standard errors (1 + K,) of `gradient`."""
        n = self.gradient_influence.shape[0]
        return np.sqrt(np.sum(self.gradient_influence**2, axis=0)) / n


def estimate(pool: Pool, lambda_: float, weights: np.ndarray, gamma: float = math.inf) -> Estimate:
    """F or L_gamma at (lambda, weights) with its gradient, from the pool.

    Parameters
    ----------
    lambda_ : KL strength, above 0.
    weights : (K,) weights of the lower rewards.
    gamma : penalty constant, above 0; `inf` gives the exact derivatives.
    """
    at = _tilt(pool, lambda_, weights)
    return _exact(at, lambda_) if math.isinf(gamma) else _penalised(at, lambda_, gamma)


@dataclass(frozen=True, eq=False)
class _Centred:
    """The tilted pool p_x, E_{p_x}[r1], and what is left of r1 (n,) and of (r2, r2_k) (n, 1 + K).

    `rest` is spent: on a large pool each (n, 1 + K) counts, so the influences are built in place.
    """

    p: Tilted
    mean: float
    c: np.ndarray
    rest: np.ndarray


def _tilt(pool: Pool, lambda_: float, weights: np.ndarray) -> _Centred:
    lower = pool.lower @ weights
    p = Tilted((lower - lower.max()) / lambda_)
    mean = float(p.mean(pool.upper))
    rest = np.column_stack([lower, pool.lower])
    rest -= p.mean(rest)
    return _Centred(p, mean, pool.upper - mean, rest)


def _exact(at: _Centred, lambda_: float) -> Estimate:
    p, influence = at.p, at.rest
    scale = np.full(influence.shape[1], -1.0 / lambda_)
    scale[0] = 1.0 / lambda_**2
    share = p.n * p.weights
    influence *= at.c[:, None]
    influence *= scale
    gradient = p.mean(influence)
    influence -= gradient
    influence *= share[:, None]
    return Estimate(-at.mean, gradient, -share * at.c, influence, (p,))


def _penalised(at: _Centred, lambda_: float, gamma: float) -> Estimate:
    p, c, influence = at.p, at.c, at.rest
    a = c / (gamma * lambda_)
    q = Tilted(p.tilt + a)
    log_ratio = _log_mean_exp(p, q, a)
    moved = gamma * _moved(p, q, a - log_ratio)
    share = p.n * q.weights
    shift = moved @ influence / p.n  # gamma (E_{p_gamma} - E_p) of r2 and of every r2_k
    c_gamma = float(q.mean(c))
    gradient = -shift
    gradient[0] = (shift[0] + c_gamma) / lambda_ - gamma * log_ratio
    # gamma times the difference of the influences on both means, or KLs, term by term of order one
    influence *= -moved[:, None]
    influence += share[:, None] * shift
    influence[:, 0] = (share * (c - c_gamma) - influence[:, 0]) / lambda_ - moved
    value = -at.mean - gamma * lambda_ * log_ratio
    return Estimate(value, gradient, -lambda_ * moved, influence, (p, q))


def _log_mean_exp(p: Tilted, q: Tilted, a: np.ndarray) -> float:
    """Logarithm of E_p[exp(a)]: by expm1, which keeps a small a's digits, unless one is large."""
    if np.max(a) > 1.0:
        return q.log_z - p.log_z
    return math.log1p(float(p.mean(np.expm1(a))))


def _moved(p: Tilted, q: Tilted, log_ratios: np.ndarray) -> np.ndarray:
    """Mass n (q - p) of every sample, from log(q / p): all digits where they are near."""
    close = p.n * p.weights * np.expm1(np.minimum(log_ratios, 1.0))
    return np.where(log_ratios < 1.0, close, p.n * (q.weights - p.weights))
