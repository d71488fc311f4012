"""F and L_gamma over several prompts with their derivatives, from sums over each prompt."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from raybilevel.upper.island_sums import tilted_sums
from raybilevel.upper.jackknife import Jackknifed, PromptSums, corrected, jackknife
from raybilevel.upper.natural import (
    Coordinates,
    Moved,
    exact,
    exact_hessian,
    features,
    features_of_curvature,
    penalised,
    penalised_hessian,
)
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts, TiltedWithin
from raybilevel.upper.within import EstimateWithin, over_prompts


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


class DerivativesWithin:
    """F or L_gamma over prompts at one point: an estimate, and the Hessian, from the same sums.

    Where samples lie in islands, those are left out one at a time in place of samples.

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
        self._prompts, self._gamma, self._k = prompts, gamma, len(weights)
        self._units = prompts.units
        self._to_x = Coordinates(lambda_, weights)
        lower = pool.lower @ weights
        p = TiltedWithin(prompts, (lower - lower.max()) / lambda_, pool.base)
        self._tilts: tuple[TiltedWithin, ...] = (p,)
        self._mean = p.means(pool.upper)
        self._c = pool.upper[prompts.order] - prompts.each(self._mean)
        self._h = pool.lower[prompts.order] - prompts.each(p.means(pool.lower))
        tilt = (p.tilt + pool.base)[prompts.order]
        self._p = tilted_sums(prompts, tilt)
        if not math.isinf(gamma):
            a = self._c / (gamma * lambda_)
            self._tilts = (p, TiltedWithin(prompts, p.tilt + prompts.in_pool(a), pool.base))
            self._move(tilt, a)

    def _move(self, tilt: np.ndarray, a: np.ndarray) -> None:
        """The mass that moves from p to q: by expm1, unless any of a prompt moves far."""
        self._near = self._prompts.largest(np.abs(a)) <= 1.0
        near = self._prompts.each(self._near)
        self._moving = np.where(near, np.expm1(np.minimum(a, 1.0)), 1.0)[:, None]
        self._q = tilted_sums(self._prompts, np.where(near, tilt, tilt + a))

    @cached_property
    def estimate(self) -> EstimateWithin:
        """Value and gradient."""
        return over_prompts(self._units, self._jackknifed, self._to_x, self._tilts)

    def hessian(self) -> np.ndarray:
        """Second derivatives (1 + K, 1 + K) with respect to (lambda, w_1, ..., w_K), symmetric."""
        sums = self._sums(features_of_curvature(self._c, self._h))
        of_all, of_each = self._first
        second = of_all.second([s.whole for s in sums]), of_each.second([s.without for s in sums])
        flat = (h.reshape(len(h), -1) for h in second)
        of_prompts = [self._jackknifed.values, corrected(self._units, *flat)]
        whole = self._prompts.shares @ np.concatenate(of_prompts, axis=1)
        y = self._k + 1
        of_x = self._to_x.hessian(whole[1 + y :].reshape(y, y), whole[1 : 1 + y])
        return (of_x + of_x.T) / 2

    @cached_property
    def _jackknifed(self) -> Jackknifed:
        """Value and gradient in y of every prompt: (C, 2 + K)."""
        found = jackknife(self._units, *(part.value_and_gradient() for part in self._first))
        found.values[:, 0] -= self._mean  # last, as it would cost digits before
        return found

    @cached_property
    def _first(self) -> list[_ExactMeans] | list[_PenalisedMeans]:
        """What both are made of: of every prompt, and of it without each sample."""
        rows = features(self._c, self._h)
        p, *moved = self._sums(np.concatenate([np.ones((len(rows), 1)), rows], axis=1))
        if not moved:
            return [_ExactMeans(sums, self._k) for sums in (p.whole, p.without)]
        (q,), near, of = moved, self._near, (self._to_x.lambda_, self._gamma, self._k)
        each, scale = self._units.each(near), q.without_scale - p.without_scale
        return [
            _PenalisedMeans(near, p.whole, q.whole, q.whole_scale - p.whole_scale, of),
            _PenalisedMeans(each, p.without, q.without, scale, of),
        ]

    def _sums(self, rows: np.ndarray) -> list[PromptSums]:
        """Of rows (n, m) under p, and at finite gamma of what moves to q."""
        p = self._p.of(rows)
        return [p] if math.isinf(self._gamma) else [p, self._q.of(self._moving * rows)]


class _ExactMeans:
    """F, from sums (..., 2 + 2 K) over p of one and of features."""

    def __init__(self, p: np.ndarray, k: int) -> None:
        self._total, self._k = p[:, :1], k
        self._means = p[:, 1:] / self._total

    def value_and_gradient(self) -> np.ndarray:
        """In y, (..., 2 + K)."""
        return exact(self._means, self._k)

    def second(self, more: list[np.ndarray]) -> np.ndarray:
        """The Hessian in y, from sums of its features."""
        return exact_hessian(self._means, more[0] / self._total, self._k)


class _PenalisedMeans:
    """L_gamma, from sums (..., 2 + 2 K) over p, and over q of one and of features.

    Parameters
    ----------
    q : on a scale of their own, which is `scale` more, or where `near` over what is moved.
    of : lambda, gamma, K.
    """

    def __init__(
        self,
        near: np.ndarray,
        p: np.ndarray,
        q: np.ndarray,
        scale: np.ndarray,
        of: tuple[float, float, int],
    ) -> None:
        self._p, self._q, self._of = p[:, :1], q[:, :1], of
        self._total = np.where(near, p[:, 0] + q[:, 0], q[:, 0])[:, None]
        self._means = self._moved(p[:, 1:], q[:, 1:])
        with np.errstate(invalid="ignore", divide="ignore"):  # of the branch that is not taken
            ratio = q[:, 0] / p[:, 0]
            self._log_ratio = np.where(near, np.log1p(ratio), np.log(ratio) + scale)

    def value_and_gradient(self) -> np.ndarray:
        """In y, (..., 2 + K)."""
        return penalised(self._means, self._log_ratio, *self._of)

    def second(self, more: list[np.ndarray]) -> np.ndarray:
        """The Hessian in y, from sums of its features."""
        return penalised_hessian(self._means, self._moved(*more), *self._of)

    def _moved(self, p: np.ndarray, q: np.ndarray) -> Moved:
        under_p = p / self._p
        return Moved(under_p, (q - under_p * self._q) / self._total)
