"""Pareto k-hat: how heavy the tail of importance weights is.

Vehtari, Simpson, Gelman, Yao & Gabry 2024 (arXiv 1507.02646), section 3; the fit is Zhang &
Stephens' (2009, Technometrics 51, 316-325) with the paper's prior. The mean of the tail exists
below k = 1, the variance below k = 1/2. Written out here since only the tail needs sorting, and
sorting is most of the time on a large pool; a test holds it to arviz's.
"""

from __future__ import annotations

import math

import numpy as np

_FEWEST = 5
_PRIOR_SHAPE, _PRIOR_DRAWS = 0.5, 10  # weakly informative: as if 10 draws had said k = 1/2
_PRIOR_SCALE = 3.0


def pareto_k(values: np.ndarray) -> float:
    """Pareto k-hat of the right tail of `values` (n,), nan where the tail is constant."""
    size = min(values.size // 5, math.ceil(3 * math.sqrt(values.size)))
    if size < _FEWEST:
        return math.nan
    largest = np.sort(np.partition(values, values.size - size - 1)[-size - 1 :])
    excess = largest[1:] - largest[0]
    # A clipped, binary or discrete reward piles up at few values: there is no tail to fit.
    if excess[_quartile(size)] <= 0 or np.count_nonzero(np.diff(largest)) <= size // 2:
        return math.nan
    return (size * shape(excess) + _PRIOR_DRAWS * _PRIOR_SHAPE) / (size + _PRIOR_DRAWS)


def shape(excess: np.ndarray) -> float:
    """Shape of a generalised Pareto law fitted to ascending `excess` (m,), all at least 0.

    The posterior mean of b = -shape / scale on a grid, of which the shape is a function (Zhang &
    Stephens 2009, equations 5 to 8).
    """
    m = excess.size
    grid = 30 + math.isqrt(m)
    b = 1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    b = b / (_PRIOR_SCALE * excess[_quartile(m)]) + 1 / excess[-1]
    k = np.mean(np.log1p(-b[:, None] * excess), axis=1)
    log_likelihood = m * (np.log(-b / k) - k - 1)
    posterior = np.exp(log_likelihood - log_likelihood.max())
    b_mean = float(b @ posterior / posterior.sum())
    return float(np.mean(np.log1p(-b_mean * excess)))


def _quartile(m: int) -> int:
    return int(m / 4 + 0.5) - 1
