"""F and L_gamma in natural coordinates, from moments of a tilted sample.

With s = w / lambda, by which samples are tilted, and kappa = gamma lambda, by which r1 is divided,
both are what a cumulant generating function has: with c = r1 and h_k = r2_k

    F       = -E_p[c]      dF/ds_k = -Cov_p(c, h_k)      d2F/ds_k ds_l = -kappa_3(c, h_k, h_l)
    L_gamma = -kappa log E_p[exp(c / kappa)]
    dL/ds_k = -kappa (E_q - E_p)[h_k]    with q ~ p exp(c / kappa)

(Xiao et al. 2025, arXiv 2502.08808, section 3.1). Moments may be of many samples at once, such as
one without each row: leading axes are kept. Differences E_q - E_p come in as such, so that a large
gamma costs no digits. Derivatives are with respect to y = (s_1, ..., s_K, lambda in kappa).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def features(c: np.ndarray, h: np.ndarray) -> np.ndarray:
    """What moments are of, (n, 1 + 2 K): c (n,), h (n, K), c h."""
    return np.concatenate([c[:, None], h, c[:, None] * h], axis=1)


def features_of_curvature(c: np.ndarray, h: np.ndarray) -> np.ndarray:
    """What follows them for a Hessian, (n, 1 + 2 K^2): c c, h h', c h h'."""
    hh = (h[:, :, None] * h[:, None, :]).reshape(len(h), -1)
    return np.concatenate([(c**2)[:, None], hh, c[:, None] * hh], axis=1)


def exact(means: np.ndarray, k: int) -> np.ndarray:
    """F and its gradient in y, (..., 2 + K), from means (..., 1 + 2 K) of `features` under p."""
    c, h, ch = _features(means, k)
    found = np.zeros((*c.shape, 2 + k))
    found[..., 0] = -c
    found[..., 1 : 1 + k] = -(ch - c[..., None] * h)
    return found


def exact_hessian(means: np.ndarray, more: np.ndarray, k: int) -> np.ndarray:
    """Its Hessian in y, (..., K + 1, K + 1).

    Parameters
    ----------
    more : (..., 1 + 2 K^2) means of `features_of_curvature` under p.
    """
    (c, h, ch), (_, hh, chh) = _features(means, k), _features_of_curvature(more, k)
    crossed, c = h[..., :, None] * ch[..., None, :], c[..., None, None]
    squares = h[..., :, None] * h[..., None, :]
    third = chh - c * hh - crossed - np.swapaxes(crossed, -1, -2) + 2 * c * squares
    hessian = np.zeros((*means.shape[:-1], k + 1, k + 1))
    hessian[..., :k, :k] = -third
    return hessian


@dataclass(frozen=True, eq=False)
class Moved:
    """Means of features (..., m) under p, and what they are more under q."""

    under_p: np.ndarray
    moved: np.ndarray


def penalised(
    first: Moved, log_ratio: np.ndarray, lambda_: float, gamma: float, k: int
) -> np.ndarray:
    """L_gamma and its gradient in y, (..., 2 + K).

    Parameters
    ----------
    first : of `features`.
    log_ratio : (...,) log E_p[exp(c / kappa)].
    """
    (c, _, _), (dc, dh, _) = _features(first.under_p, k), _features(first.moved, k)
    kappa = gamma * lambda_
    found = np.empty((*c.shape, 2 + k))
    found[..., 0] = -kappa * log_ratio
    found[..., 1 : 1 + k] = -kappa * dh
    found[..., 1 + k] = (c + dc) / lambda_ - gamma * log_ratio
    return found


def penalised_hessian(
    first: Moved, more: Moved, lambda_: float, gamma: float, k: int
) -> np.ndarray:
    """Its Hessian in y, (..., K + 1, K + 1).

    Parameters
    ----------
    more : of `features_of_curvature`.
    """
    (_, h, _), (_, dh, _) = _features(first.under_p, k), _features(first.moved, k)
    qc, qh, qch = _features(first.under_p + first.moved, k)
    dhh = _features_of_curvature(more.moved, k)[1]
    qcc = more.under_p[..., 0] + more.moved[..., 0]
    products = dh[..., :, None] * qh[..., None, :] + h[..., :, None] * dh[..., None, :]
    hessian = np.empty((*qc.shape, k + 1, k + 1))
    hessian[..., :k, :k] = -(gamma * lambda_) * (dhh - products)
    mixed = -gamma * dh + (qch - qc[..., None] * qh) / lambda_
    hessian[..., :k, k] = hessian[..., k, :k] = mixed
    hessian[..., k, k] = -(qcc - qc**2) / (gamma * lambda_**3)
    return hessian


def _features(columns: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of c, h and c h: (...,), (..., K), (..., K)."""
    return columns[..., 0], columns[..., 1 : 1 + k], columns[..., 1 + k :]


def _features_of_curvature(
    columns: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of c c, h h' and c h h': (...,), (..., K, K), (..., K, K)."""
    square = (*columns.shape[:-1], k, k)
    hh, chh = columns[..., 1 : 1 + k * k], columns[..., 1 + k * k :]
    return columns[..., 0], hh.reshape(square), chh.reshape(square)


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
