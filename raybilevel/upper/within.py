"""F and L_gamma over several prompts, by the jackknife within each.

With n_c of n samples a prompt each F_c has a bias of order 1 / n_c, and over prompts biases add
while errors average; so value, gradient, Hessian and their variances are jackknifed within prompts.
As samples of different prompts are independent, the influence of a sample on the whole is
pi_c n / n_c times that on its prompt's, and the squared standard error is sum_c pi_c^2 SE_c^2
(Cochran 1977, Sampling Techniques, section 5.4: stratified sampling).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.upper.jackknife import Jackknifed, PromptSums, TiltedSums, corrected, jackknife
from raybilevel.upper.natural import (
    Coordinates,
    Derivatives,
    exact,
    features,
    features_of_curvature,
    penalised,
)
from raybilevel.upper.penalty import Estimate, Pool
from raybilevel.upper.prompts import Prompts, TiltedWithin
from raybilevel.upper.tilting import Tilt

FEWEST_PROMPTS = 20
"""That say how much prompts like them differ."""


@dataclass(frozen=True, eq=False)
class EstimateWithin(Estimate):
    """An estimate over prompts: its standard errors are for these prompts.

    Attributes
    ----------
    value_correction, gradient_correction : what the jackknife has added to `value` and to
        `gradient` (1 + K,).
    prompts : which sample belongs to which.
    values : (C,), gradients : (C, 1 + K), of every prompt.
    """

    value_correction: float
    gradient_correction: np.ndarray
    prompts: Prompts
    values: np.ndarray
    gradients: np.ndarray

    @property
    def value_se_of_prompts(self) -> float:
        """Standard error of `value` for prompts like these; nan where there are too few."""
        c = len(self.values)
        if c < FEWEST_PROMPTS:
            return math.nan
        return math.sqrt(float(np.sum(self.value_influence_of_prompts**2))) / c

    @property
    def value_influence_of_prompts(self) -> np.ndarray:
        """(C,): as `value_influence`, where prompts like these are drawn, with their samples."""
        return self._of_prompts(self.values[:, None], np.array([self.value]))[:, 0]

    @property
    def gradient_influence_of_prompts(self) -> np.ndarray:
        """(C, 1 + K): as `gradient_influence`, where prompts like these are drawn."""
        return self._of_prompts(self.gradients, self.gradient)

    def _of_prompts(self, own: np.ndarray, mean: np.ndarray) -> np.ndarray:
        c = len(self.prompts.shares)
        scale = c * self.prompts.shares * math.sqrt(c / (c - 1))
        return scale[:, None] * (own - mean)


def estimate_within(
    pool: Pool, prompts: Prompts, lambda_: float, weights: np.ndarray, gamma: float = math.inf
) -> EstimateWithin:
    """F or L_gamma at (lambda, weights) with its gradient, each prompt with two samples at least.

    Parameters
    ----------
    lambda_ : KL strength, above 0.
    weights : (K,) weights of the lower rewards.
    gamma : penalty constant, above 0; `inf` gives the exact derivatives.
    """
    return DerivativesWithin(pool, prompts, lambda_, weights, gamma).estimate


def over_prompts(
    prompts: Prompts, found: Jackknifed, to_x: Coordinates, tilts: tuple[Tilt, ...]
) -> EstimateWithin:
    """The average over prompts of a value and its gradient in y, (C, 2 + K) of each."""
    gradients, corrections, influences = (
        to_x.gradient(part[:, 1:]) for part in (found.values, found.corrections, found.influences)
    )
    scale = prompts.each(prompts.shares * len(prompts.of) / prompts.counts)
    return EstimateWithin(
        float(prompts.shares @ found.values[:, 0]),
        prompts.shares @ gradients,
        prompts.in_pool(scale * found.influences[:, 0]),
        prompts.in_pool(scale[:, None] * influences),
        tilts,
        float(prompts.shares @ found.corrections[:, 0]),
        prompts.shares @ corrections,
        prompts,
        found.values[:, 0],
        gradients,
    )


class DerivativesWithin:
    """F or L_gamma over prompts at one point: an estimate, and the Hessian, from the same sums.

    Parameters are those of `estimate_within`. In the order of prompts are c and h, r1 and r2_k
    without their means at the point.
    """

    def __init__(
        self,
        pool: Pool,
        prompts: Prompts,
        lambda_: float,
        weights: np.ndarray,
        gamma: float = math.inf,
    ) -> None:
        self._prompts, self._gamma, self._to_x = prompts, gamma, Coordinates(lambda_, weights)
        lower = pool.lower @ weights
        p = TiltedWithin(prompts, (lower - lower.max()) / lambda_)
        self._tilts: tuple[TiltedWithin, ...] = (p,)
        self._mean = p.means(pool.upper)
        self._c = pool.upper[prompts.order] - prompts.each(self._mean)
        self._h = pool.lower[prompts.order] - prompts.each(p.means(pool.lower))
        tilt = p.tilt[prompts.order]
        self._p = TiltedSums(prompts, tilt)
        if not math.isinf(gamma):
            a = self._c / (gamma * lambda_)
            self._tilts = (p, TiltedWithin(prompts, p.tilt + prompts.in_pool(a)))
            self._move(tilt, a)

    def _move(self, tilt: np.ndarray, a: np.ndarray) -> None:
        """The mass that moves from p to q: by expm1, unless any of a prompt moves far."""
        self._near = self._prompts.largest(np.abs(a)) <= 1.0
        near = self._prompts.each(self._near)
        self._moving = np.where(near, np.expm1(np.minimum(a, 1.0)), 1.0)[:, None]
        self._q = TiltedSums(self._prompts, np.where(near, tilt, tilt + a))

    @cached_property
    def estimate(self) -> EstimateWithin:
        """Value and gradient."""
        return over_prompts(self._prompts, self._first_order, self._to_x, self._tilts)

    def hessian(self) -> np.ndarray:
        """Second derivatives (1 + K, 1 + K) with respect to (lambda, w_1, ..., w_K), symmetric."""
        more = self._sums(features_of_curvature(self._c, self._h))
        sums = [a.beside(b) for a, b in zip(self._sums_of_gradient, more, strict=True)]
        second = (_second_order(d) for d in self._derivatives(sums, curvature=True))
        of_prompts = [self._first_order.values, corrected(self._prompts, *second)]
        whole = self._prompts.shares @ np.concatenate(of_prompts, axis=1)
        y = self._h.shape[1] + 1
        gradient, hessian = whole[1 : 1 + y], whole[1 + y :].reshape(y, y)
        of_x = self._to_x.hessian(hessian, gradient)
        return (of_x + of_x.T) / 2

    @cached_property
    def _first_order(self) -> Jackknifed:
        """Value and gradient in y of every prompt: (C, 2 + K)."""
        found = map(_first_order, self._derivatives(self._sums_of_gradient, curvature=False))
        jackknifed = jackknife(self._prompts, *found)
        jackknifed.values[:, 0] -= self._mean  # last, as it would cost digits before
        return jackknifed

    @cached_property
    def _sums_of_gradient(self) -> list[PromptSums]:
        rows = features(self._c, self._h)
        return self._sums(np.concatenate([np.ones((len(rows), 1)), rows], axis=1))

    def _sums(self, rows: np.ndarray) -> list[PromptSums]:
        """Of rows (n, m) under p, and at finite gamma of what moves to q."""
        p = self._p.of(rows)
        return [p] if math.isinf(self._gamma) else [p, self._q.of(self._moving * rows)]

    def _derivatives(self, sums: list[PromptSums], *, curvature: bool) -> Iterator[Derivatives]:
        """In y, of every prompt (C, ...), and of it without each sample (n, ...)."""
        k, p = self._h.shape[1], sums[0]
        if math.isinf(self._gamma):
            for s in (p.whole, p.without):
                yield exact(s[:, 1:] / s[:, :1], k, curvature=curvature)
            return
        q, near = sums[1], self._near
        for near_, sums_, moved, scale in (
            (near, p.whole, q.whole, q.whole_scale - p.whole_scale),
            (self._prompts.each(near), p.without, q.without, q.without_scale - p.without_scale),
        ):
            yield penalised(
                *_moments(near_, sums_, moved, scale),
                self._to_x.lambda_, self._gamma, k=k, curvature=curvature,
            )  # fmt: skip


def _moments(
    near: np.ndarray, p: np.ndarray, q: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (..., m) under p, what they are more under q, and log E_p[exp(c / kappa)] (...,).

    Parameters
    ----------
    q : (..., 1 + m) sums over q, on a scale of their own, or where `near` over what is moved.
    """
    under_p = p[:, 1:] / p[:, :1]
    total = np.where(near, p[:, 0] + q[:, 0], q[:, 0])
    moved = q[:, 1:] - under_p * q[:, :1]
    with np.errstate(invalid="ignore", divide="ignore"):  # of the branch that is not taken
        near_ratio, far_ratio = np.log1p(q[:, 0] / p[:, 0]), np.log(q[:, 0] / p[:, 0]) + scale
    return under_p, moved / total[:, None], np.where(near, near_ratio, far_ratio)


def _first_order(found: Derivatives) -> np.ndarray:
    return np.concatenate([found.value[:, None], found.gradient], axis=1)


def _second_order(found: Derivatives) -> np.ndarray:
    assert found.hessian is not None, "it was asked for"
    return found.hessian.reshape(len(found.hessian), -1)
