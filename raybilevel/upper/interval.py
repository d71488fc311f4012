"""Confidence intervals of an optimum: the sandwich of an M-estimator.

x* solves mean(psi(x)) = 0 over the pool, so that (van der Vaart 1998, Asymptotic Statistics,
theorem 5.21)  Cov(x*) = H^-1 (sum psi psi' / n^2) H^-T  with H the Hessian and psi the influence
of each sample on the gradient.

Where few samples carry a variance its own error counts: then the quantile is Student's. As many
degrees of freedom as carry it, twice, would be Satterthwaite's (1946, Biometrics Bulletin 2,
110-114); but heavy tails hide some of the variance, and with half as many intervals cover.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Influence = Callable[[np.ndarray], np.ndarray]
"""Maps scaled coordinates (d,) to the samples' influences (n, d) on the gradient."""

Degrees = Callable[[np.ndarray], np.ndarray]
"""Maps influences (n, d) on an optimum to the degrees of freedom (d,) of its variance."""

_DIFFERENCE = 1e-3
MIN_CURVATURE_Z = 4.0


@dataclass(frozen=True)
class Interval:
    """A two-sided interval for each coordinate of an optimum.

    Attributes
    ----------
    low, high : (d,) scaled coordinates.
    se : (d,) standard errors in scaled coordinates.
    curvature_z : the smallest eigenvalue of the Hessian over its own standard error. Below 4 the
        objective is flat for all that the pool can tell, and the interval is no interval; nan
        where no sample moves the curvature.
    """

    low: np.ndarray
    high: np.ndarray
    se: np.ndarray
    curvature_z: float

    @property
    def is_flat(self) -> bool:
        """Whether it is no interval; an objective that no sample moves has no curvature at all."""
        return not MIN_CURVATURE_Z <= self.curvature_z < math.inf


def sandwich(
    influence: Influence,
    z: np.ndarray,
    hessian: np.ndarray,
    confidence: float = 0.95,
    df: float | Degrees = math.inf,
) -> Interval:
    """Interval around an interior optimum `z` (d,), where the Hessian is (d, d).

    Parameters
    ----------
    df : degrees of freedom of Student's t; inf for the normal law.
    """
    values, vectors = np.linalg.eigh(hessian)
    psi = influence(z)
    n = psi.shape[0]
    with np.errstate(divide="ignore", invalid="ignore"):  # a flat objective has no interval
        moved = psi @ (vectors / values)  # (n, d): -H^-1 psi, in the eigenbasis
    covariance = vectors @ (moved.T @ moved) @ vectors.T / n**2
    se = np.sqrt(np.diag(covariance))
    degrees = df(moved @ vectors.T) if callable(df) else np.full(len(z), df)
    margin = _quantile((1 + confidence) / 2, degrees) * se
    return Interval(z - margin, z + margin, se, _curvature_z(influence, z, values, vectors))


def carriers(influence: np.ndarray) -> np.ndarray:
    """How many rows (n, d) carry a column's variance (d,), in [1, n]; n where it has none."""
    squares = influence**2
    total, fourth = np.sum(squares, axis=0), np.sum(squares**2, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(fourth > 0, total**2 / fourth, float(len(influence)))


def degrees_of_carriers(influence: np.ndarray) -> np.ndarray:
    """Half as many degrees of freedom (d,) as rows (n, d) carry the variance, one at least."""
    return np.maximum((carriers(influence) - 1) / 2, 1.0)


def _quantile(level: float, df: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri, stdtrit

    with np.errstate(invalid="ignore"):
        student = stdtrit(np.minimum(df, 1e12), level)
    return np.where(np.isinf(df), ndtri(level), student)


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
