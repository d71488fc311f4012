"""Distances between sets of images, taken on their features: FID, KID and how sure they are.

Everything is float64. FID needs moments alone, and moments add, so that shards return (F, F) sums
and never images; KID needs the features themselves and is unbiased at any number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np

from raybilevel.errors import InputError
from raybilevel.upper.sums import SampleSums

_LEAST = 1e-6  # of the largest variance: below, a covariance's root has no derivative to speak of


@dataclass(frozen=True, eq=False)
class Moments(SampleSums):
    """Sums over n feature vectors of F numbers, all that FID asks of them.

    Attributes
    ----------
    count : n.
    sum : (F,) float64.
    outer : (F, F) float64, the sum of x x^T.
    """

    count: float
    sum: np.ndarray
    outer: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Moments:
        """Moments of features (n, F)."""
        x = np.asarray(features, np.float64)
        return cls(len(x), x.sum(axis=0), x.T @ x)

    @property
    def mean(self) -> np.ndarray:
        """(F,)."""
        return self.sum / self.count

    @property
    def cov(self) -> np.ndarray:
        """(F, F), unbiased: divided by n - 1, so n is at least 2."""
        mean = self.mean
        return (self.outer - self.count * np.outer(mean, mean)) / (self.count - 1)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A mean and a covariance of unknown origin: what `FrechetTo` asks of a reference.

    Attributes
    ----------
    mean : (F,) float64.
    cov : (F, F) float64, symmetric.
    """

    mean: np.ndarray
    cov: np.ndarray


class FrechetTo:
    """FID to a fixed reference, whose matrix root is taken once.

    tr sqrt(A B) is the sum of the roots of the eigenvalues of sqrt(B) A sqrt(B), which is
    symmetric: one `eigvalsh` per evaluation, no complex numbers, and nothing special where A or B
    has no full rank. (Heusel et al. 2017, arXiv 1706.08500, equation 6.)
    """

    def __init__(self, reference: Moments | Gaussian) -> None:
        cov = reference.cov
        values, vectors = np.linalg.eigh(cov)
        self._mean = reference.mean
        self._trace = float(np.trace(cov))
        self._root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T

    def __call__(self, moments: Moments) -> float:
        """Frechet distance of Gaussians, in squared units of the features; at least 0."""
        shift, cov = moments.mean - self._mean, moments.cov
        values = np.linalg.eigvalsh(self._root @ cov @ self._root)
        overlap = np.sum(np.sqrt(np.maximum(values, 0.0)))
        distance = shift @ shift + np.trace(cov) + self._trace - 2.0 * overlap
        return max(float(distance), 0.0)  # equal moments leave rounding of either sign

    def slopes(self, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the distance in E[h] (F,) and in E[h h^T] (F, F), h the features.

        d tr sqrt(M) / dM = M^(-1/2) / 2, M = sqrt(B) A sqrt(B); directions that the samples hardly
        vary in, where that has no bound, count as a little variance.
        """
        n, mean = moments.count, moments.mean
        values, vectors = np.linalg.eigh(self._root @ moments.cov @ self._root)
        inverse = (vectors / np.sqrt(np.maximum(values, _LEAST * values[-1]))) @ vectors.T
        by_cov = np.eye(len(mean)) - self._root @ inverse @ self._root
        by_outer = n / (n - 1) * by_cov
        return 2.0 * (mean - self._mean) - 2.0 * by_outer @ mean, by_outer


def fid(a: Moments, b: Moments) -> float:
    """Frechet distance between `a` and `b`; against one reference many times, `FrechetTo`."""
    return FrechetTo(b)(a)


def few_samples_warning(count: float, features: int) -> str | None:
    """One sentence where the covariance of `count` samples of `features` numbers is singular."""
    if count > features:
        return None
    return (
        f"FID on {count:,.0f} samples of {features:,} features is rank-deficient and far too high: "
        f"take more than {features:,} samples, or KID"
    )


def jackknife(
    statistic: Callable[..., Any], *sets: Sequence[Any], corrected: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of sums over k chunks, and its delete-one-chunk jackknife standard error.

    se^2 = (k - 1) / k sum_i (theta_i - mean theta)^2, theta_i without chunk i (Efron & Tibshirani
    1993, equation 11.5). Chunks of several sets are paired: chunk i leaves all of them at once, so
    that what sets drawn from the same noises have in common cancels in a difference:
    `jackknife(lambda a, b: to(a) - to(b), chunks_a, chunks_b)`.

    Parameters
    ----------
    statistic : takes one total per set, gives a number or an array.
    sets : k chunks each, k at least 2, about equal in size: `Moments`, or anything that adds.
    corrected : take the bias of order 1/n off the value (same book, equation 10.21, at k chunks).
        That of FID is large at hundreds of samples and another for every sampler (Chong & Forsyth
        2020, arXiv 1911.07023): uncorrected, samplers of little variety look too good. It is that
        of the sets alone: what a fixed reference of m images adds, of order 1/m, stays.

    Returns
    -------
    value, se : of the statistic's shape; the value is that of all chunks.
    """
    value, without = _without_each(statistic, *sets)
    k = len(without)
    spread = np.sum((without - without.mean(axis=0)) ** 2, axis=0)
    if corrected:
        value = k * value - (k - 1) * without.mean(axis=0)
    return value, np.sqrt((k - 1) / k * spread)


def pseudo_values(statistic: Callable[..., Any], *sets: Sequence[Any]) -> np.ndarray:
    """(k, ...) of k chunks, as for `jackknife`: their mean is its corrected value.

    And the standard error of that mean is its own (same book, equation 11.21).
    """
    value, without = _without_each(statistic, *sets)
    k = len(without)
    return np.asarray(k * value - (k - 1) * without)


def _without_each(
    statistic: Callable[..., Any], *sets: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """The statistic of all k chunks, and (k, ...) without each."""
    chunks = list(zip(*sets, strict=True))
    if len(chunks) < 2:
        raise InputError(f"a jackknife needs at least 2 chunks, but got {len(chunks)}")
    totals = [reduce(add, one_set) for one_set in sets]
    without = [
        statistic(*(total - part for total, part in zip(totals, chunk, strict=True)))
        for chunk in chunks
    ]
    return np.asarray(statistic(*totals), np.float64), np.asarray(without, np.float64)


class Measured(NamedTuple):
    """A number and its standard error."""

    value: float
    se: float


def kid(x: np.ndarray, y: np.ndarray) -> Measured:
    """Unbiased MMD^2 with the kernel (x.y / F + 1)^3, which can be below 0, and its error.

    Binkowski et al. 2018, arXiv 1801.01401, section 3.1 and equation 4.

    Parameters
    ----------
    x, y : features (n, F) and (m, F), n and m at least 4. Takes 8 (n + m)^2 bytes, a few times.
    """
    _enough(x, y)
    return _u_statistic(_kernel(x, x), _kernel(x, y), _kernel(y, y))


class KidTo:
    """KID to a fixed set of real features (m, F), m at least 4, whose own kernel is taken once."""

    def __init__(self, real: np.ndarray) -> None:
        _enough(real)
        self._real = np.asarray(real, np.float64)
        self._own = _off_diagonal_mean(_kernel(self._real, self._real))

    def __call__(self, x: np.ndarray) -> float:
        """Unbiased KID of features (n, F), n at least 2."""
        between = float(_kernel(x, self._real).mean())
        return _off_diagonal_mean(_kernel(x, x)) + self._own - 2.0 * between


def _off_diagonal_mean(h: np.ndarray) -> float:
    n = len(h)
    return float((h.sum() - np.trace(h)) / (n * (n - 1)))


def kid_difference(a: np.ndarray, b: np.ndarray, real: np.ndarray) -> Measured:
    """KID(a, real) - KID(b, real), where a_i and b_i (n, F) are drawn from the same noise.

    The error is that of the pairs: what they and the real set (m, F) have in common cancels.
    """
    _enough(a, b, real)
    assert len(a) == len(b)
    h_xx = _kernel(a, a) - _kernel(b, b)
    h_xy = _kernel(a, real) - _kernel(b, real)
    return _u_statistic(h_xx, h_xy, np.zeros((len(real), len(real))))


def _enough(*sets: np.ndarray) -> None:
    fewest = min(len(features) for features in sets)
    if fewest < 4:
        raise InputError(f"KID needs at least 4 samples on each side, but got {fewest}")


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def _u_statistic(h_xx: np.ndarray, h_xy: np.ndarray, h_yy: np.ndarray) -> Measured:
    """Mean h(x, x') + mean h(y, y') - 2 mean h(x, y) over different samples, and its error.

    Hoeffding's decomposition: the variance is that of each sample's projection, 2 (mean_j h_ij -
    mean_j h_xy), plus `pairs`, what is left of h in the pairs alone. Projections estimated from the
    sample carry the noise of the pairs twice, so that once is taken off; where both sets come from
    one distribution the pairs are all there is, and without this the error would be sqrt(2) high.
    What is left is at least `pairs`, whatever the noise: that makes the error high rather than low
    (by 3 to 9 % on 64 features of two equal sets of 80, by 30 % on 5 features).
    """
    (rows_x, pairs_xx), (rows_y, pairs_yy) = _within(h_xx), _within(h_yy)
    n, m = h_xy.shape
    to_x, to_y = h_xy.mean(axis=1), h_xy.mean(axis=0)
    value = rows_x.mean() + rows_y.mean() - 2.0 * h_xy.mean()
    projected = 4.0 * (np.var(rows_x - to_x, ddof=1) / n + np.var(rows_y - to_y, ddof=1) / m)
    pairs = pairs_xx + pairs_yy + 4.0 * _residual_variance(h_xy) / (n * m)
    return Measured(float(value), float(np.sqrt(max(projected - pairs, pairs))))


def _within(h: np.ndarray) -> tuple[np.ndarray, float]:
    """Row means (n,) of symmetric h (n, n) off its diagonal, and the variance of its mean's pairs.

    The pairs are what the best a_i + a_j leaves of h_ij, on n (n - 3) / 2 degrees of freedom.
    """
    n = len(h)
    diagonal = np.diagonal(h)
    rows = (h.sum(axis=1) - diagonal) / (n - 1)
    centred = (n - 1) * (rows - rows.mean())
    around = h - rows.mean()
    squares = np.sum(around**2) - np.sum(np.diagonal(around) ** 2)
    residual = (squares - 2.0 * np.sum(centred**2) / (n - 2)) / (n * (n - 3))
    return rows, 2.0 * max(float(residual), 0.0) / (n * (n - 1))


def _residual_variance(h: np.ndarray) -> float:
    """Variance of what row and column means leave of h (n, m)."""
    n, m = h.shape
    left = h - h.mean(axis=1)[:, None] - h.mean(axis=0) + h.mean()
    return float(np.sum(left**2)) / ((n - 1) * (m - 1))


def fid_floor(
    features: np.ndarray, size: int, against: int | None = None, repeats: int = 20, seed: int = 0
) -> tuple[float, float]:
    """FID between disjoint parts of *real* features: what a perfect sampler would be given.

    Parameters
    ----------
    features : (N, F).
    size, against : samples in the one part and in the other; `None` is all the rest.
    repeats : random splits.

    Returns
    -------
    mean, standard deviation over the splits.

    Raises
    ------
    InputError
        If there are too few features for two such parts.
    """
    other = len(features) - size if against is None else against
    if size < 2 or other < 2 or size + other > len(features):
        raise InputError(
            f"fid_floor: cannot split {len(features)} samples into parts of {size} and {other}"
        )
    generator = np.random.default_rng(seed)
    floors = []
    for _ in range(repeats):
        x = np.asarray(features)[generator.permutation(len(features))]
        floors.append(fid(Moments.of(x[:size]), Moments.of(x[size : size + other])))
    return float(np.mean(floors)), float(np.std(floors, ddof=1)) if repeats > 1 else 0.0
