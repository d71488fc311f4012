"""F and L_gamma in natural coordinates, from moments of a tilted sample.

With s = w / lambda, by which samples are tilted, and kappa = gamma lambda, by which r1 is divided,
both are what a cumulant generating function has: with c = r1 and h_k = r2_k

    F       = -E_p[c]      dF/ds_k = -Cov_p(c, h_k)      d2F/ds_k ds_l = -kappa_3(c, h_k, h_l)
    L_gamma = -kappa log E_p[exp(c / kappa)]
    dL/ds_k = -kappa (E_q - E_p)[h_k]    with q ~ p exp(c / kappa)

(Xiao et al. 2025, arXiv 2502.08808, section 3.1). Moments may be of many samples at once, such as
one without each row: leading axes are kept. Differences E_q - E_p come in as such, so that a large
gamma costs no digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Derivatives:
    """A value with its derivatives with respect to y = (s_1, ..., s_K, lambda in kappa).

    Attributes
    ----------
    value : (...,), gradient : (..., K + 1), hessian : (..., K + 1, K + 1) or None
    """

    value: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray | None = None


def features(c: np.ndarray, h: np.ndarray) -> np.ndarray:
    """What moments are of, (n, 1 + 2 K): c (n,), h (n, K), c h."""
    return np.concatenate([c[:, None], h, c[:, None] * h], axis=1)


def features_of_curvature(c: np.ndarray, h: np.ndarray) -> np.ndarray:
    """What follows them for a Hessian, (n, 1 + 2 K^2): c c, h h', c h h'."""
    hh = (h[:, :, None] * h[:, None, :]).reshape(len(h), -1)
    return np.concatenate([(c**2)[:, None], hh, c[:, None] * hh], axis=1)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Names for the columns (..., m) of `features`, and of `features_of_curvature`."""

    c: np.ndarray
    h: np.ndarray
    ch: np.ndarray
    cc: np.ndarray
    hh: np.ndarray
    chh: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray, k: int) -> _Moments:
        widths = np.cumsum([1, k, k, 1, k * k, k * k])[:-1]
        c, h, ch, cc, hh, chh = np.split(columns, widths, axis=-1)
        square = (*columns.shape[:-1], k, k)
        if hh.shape[-1]:
            hh, chh = hh.reshape(square), chh.reshape(square)
        return cls(c[..., 0], h, ch, cc[..., 0] if cc.shape[-1] else cc, hh, chh)


def exact(moments: np.ndarray, k: int, *, curvature: bool) -> Derivatives:
    """F and its derivatives from the moments (..., m) of `features` under p."""
    m = _Moments.of(moments, k)
    gradient = np.zeros((*m.c.shape, k + 1))
    gradient[..., :k] = -(m.ch - m.c[..., None] * m.h)
    if not curvature:
        return Derivatives(-m.c, gradient)
    crossed = m.h[..., :, None] * m.ch[..., None, :]
    squares = m.h[..., :, None] * m.h[..., None, :]
    c = m.c[..., None, None]
    third = m.chh - c * m.hh - crossed - np.swapaxes(crossed, -1, -2) + 2 * c * squares
    hessian = np.zeros((*m.c.shape, k + 1, k + 1))
    hessian[..., :k, :k] = -third
    return Derivatives(-m.c, gradient, hessian)


def penalised(
    under_p: np.ndarray,
    moved: np.ndarray,
    log_ratio: np.ndarray,
    lambda_: float,
    gamma: float,
    *,
    k: int,
    curvature: bool,
) -> Derivatives:
    """L_gamma and its derivatives.

    Parameters
    ----------
    under_p : (..., m) moments of `features` under p.
    moved : (..., m) what they are more under q.
    log_ratio : (...,) log E_p[exp(c / kappa)].
    """
    p, d, q = (_Moments.of(m, k) for m in (under_p, moved, under_p + moved))
    kappa = gamma * lambda_
    gradient = np.empty((*p.c.shape, k + 1))
    gradient[..., :k] = -kappa * d.h
    gradient[..., k] = q.c / lambda_ - gamma * log_ratio
    if not curvature:
        return Derivatives(-kappa * log_ratio, gradient)
    products = d.h[..., :, None] * q.h[..., None, :] + p.h[..., :, None] * d.h[..., None, :]
    hessian = np.empty((*p.c.shape, k + 1, k + 1))
    hessian[..., :k, :k] = -kappa * (d.hh - products)
    mixed = -gamma * d.h + (q.ch - q.c[..., None] * q.h) / lambda_
    hessian[..., :k, k] = hessian[..., k, :k] = mixed
    hessian[..., k, k] = -(q.cc - q.c**2) / (gamma * lambda_**3)
    return Derivatives(-kappa * log_ratio, gradient, hessian)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """From y to (lambda, w_1, ..., w_K), at one point of it."""

    lambda_: float
    weights: np.ndarray

    @property
    def _slopes(self) -> np.ndarray:
        """Give dy / d(lambda, w): (1 + K, K + 1)."""
        k = len(self.weights)
        slopes = np.zeros((1 + k, k + 1))
        slopes[0, :k] = -self.weights / self.lambda_**2
        slopes[0, k] = 1.0
        slopes[1:, :k] = np.eye(k) / self.lambda_
        return slopes

    def gradient(self, of_y: np.ndarray) -> np.ndarray:
        """(..., 1 + K) of gradients (..., K + 1) in y."""
        return of_y @ self._slopes.T

    def hessian(self, of_y: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """(1 + K, 1 + K) of a Hessian (K + 1, K + 1) and a gradient (K + 1,) in y."""
        k, g = len(self.weights), gradient[:-1]
        bent = np.zeros((1 + k, 1 + k))  # s = w / lambda is curved itself
        bent[0, 0] = 2 * g @ self.weights / self.lambda_**3
        bent[0, 1:] = bent[1:, 0] = -g / self.lambda_**2
        return self._slopes @ of_y @ self._slopes.T + bent
