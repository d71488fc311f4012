"""Confidence intervals of an optimum: the sandwich of an M-estimator.

x* solves mean(psi(x)) = 0 over the pool, so that (van der Vaart 1998, Asymptotic Statistics,
theorem 5.21)  Cov(x*) = H^-1 (sum psi psi' / n^2) H^-T  with H the Hessian and psi the influence
of each sample on the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Influence = Callable[[np.ndarray], np.ndarray]
"""Maps scaled coordinates (d,) to the samples' influences (n, d) on the gradient."""

_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Interval:
    """A two-sided interval for each coordinate of an optimum.

    Attributes
    ----------
    low, high : (d,) scaled coordinates.
    se : (d,) standard errors in scaled coordinates.
    curvature_z : the smallest eigenvalue of the Hessian over its own standard error. Below about 4
        the objective is flat for all that the pool can tell, and the interval is no interval; nan
        where no sample moves the curvature.
    """

    low: np.ndarray
    high: np.ndarray
    se: np.ndarray
    curvature_z: float


def sandwich(
    influence: Influence, z: np.ndarray, hessian: np.ndarray, confidence: float = 0.95
) -> Interval:
    """Interval around an interior optimum `z` (d,), where the Hessian is (d, d)."""
    from scipy.special import ndtri

    values, vectors = np.linalg.eigh(hessian)
    psi = influence(z)
    n = psi.shape[0]
    with np.errstate(divide="ignore", invalid="ignore"):  # a flat objective has no interval
        moved = psi @ (vectors / values)  # (n, d): -H^-1 psi, in the eigenbasis
    covariance = vectors @ (moved.T @ moved) @ vectors.T / n**2
    se = np.sqrt(np.diag(covariance))
    margin = ndtri((1 + confidence) / 2) * se
    return Interval(z - margin, z + margin, se, _curvature_z(influence, z, values, vectors))


def _curvature_z(
    influence: Influence, z: np.ndarray, values: np.ndarray, vectors: np.ndarray
) -> float:
    ratios = []
    for value, v in zip(values, vectors.T, strict=True):
        ahead, behind = influence(z + _DIFFERENCE * v), influence(z - _DIFFERENCE * v)
        wobble = (ahead - behind) @ v / (2 * _DIFFERENCE)
        se = np.sqrt(np.sum(wobble**2)) / len(wobble)
        ratios.append(value / se if se > 0 else np.nan)
    return float(min(ratios))
