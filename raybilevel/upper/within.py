"""F and L_gamma over several prompts, by the jackknife within each.

With n_c of n samples a prompt each F_c has a bias of order 1 / n_c, and over prompts biases add
while errors average; so value, gradient, Hessian and their variances are jackknifed within prompts.
As samples of different prompts are independent, the influence of a sample on the whole is
pi_c n / n_c times that on its prompt's, and the squared standard error is sum_c pi_c^2 SE_c^2
(Cochran 1977, Sampling Techniques, section 5.4: stratified sampling).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raybilevel.upper.jackknife import Jackknifed, PromptSums, jackknife, tilted_sums
from raybilevel.upper.natural import Coordinates, Derivatives, exact, features, penalised
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
    tilted = _Tilted(pool, prompts, lambda_, weights, gamma)
    found = tilted.jackknifed(curvature=False)
    return over_prompts(prompts, found, Coordinates(lambda_, weights), tilted.tilts)


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


def hessian_within(
    pool: Pool, prompts: Prompts, lambda_: float, weights: np.ndarray, gamma: float = math.inf
) -> np.ndarray:
    """Second derivatives (1 + K, 1 + K) with respect to (lambda, w_1, ..., w_K), symmetric."""
    y = len(weights) + 1
    found = _Tilted(pool, prompts, lambda_, weights, gamma).jackknifed(curvature=True)
    whole = prompts.shares @ found.values
    gradient, hessian = whole[1 : 1 + y], whole[1 + y :].reshape(y, y)
    of_x = Coordinates(lambda_, weights).hessian(hessian, gradient)
    return (of_x + of_x.T) / 2


class _Tilted:
    """A pool at one point, in the order of its prompts; r1 and r2_k without their means there."""

    def __init__(
        self, pool: Pool, prompts: Prompts, lambda_: float, weights: np.ndarray, gamma: float
    ) -> None:
        self._prompts, self._lambda, self._gamma = prompts, lambda_, gamma
        lower = pool.lower @ weights
        p = TiltedWithin(prompts, (lower - lower.max()) / lambda_)
        self.tilts: tuple[TiltedWithin, ...] = (p,)
        upper, lower = pool.upper[prompts.order], pool.lower[prompts.order]
        self._mean = p.means(pool.upper)
        self._c = upper - prompts.each(self._mean)
        self._h = lower - prompts.each(p.means(pool.lower))
        self._tilt = p.tilt[prompts.order]
        if not math.isinf(gamma):
            q = TiltedWithin(prompts, p.tilt + prompts.in_pool(self._c) / (gamma * lambda_))
            self.tilts = (p, q)

    def jackknifed(self, *, curvature: bool) -> Jackknifed:
        """Value, gradient and perhaps Hessian in y, of every prompt: (C, q)."""
        rows = features(self._c, self._h, curvature=curvature)
        rows = np.concatenate([np.ones((len(rows), 1)), rows], axis=1)
        p = tilted_sums(self._prompts, self._tilt, rows)
        if math.isinf(self._gamma):
            found = [self._exact(s, curvature=curvature) for s in (p.whole, p.without)]
        else:
            found = self._penalised(p, rows, curvature=curvature)
        whole, without = map(_flat, found)
        jackknifed = jackknife(self._prompts, whole, without)
        jackknifed.values[:, 0] -= self._mean  # last, as it would cost digits before
        return jackknifed

    def _exact(self, sums: np.ndarray, *, curvature: bool) -> Derivatives:
        return exact(sums[:, 1:] / sums[:, :1], self._h.shape[1], curvature=curvature)

    def _penalised(self, p: PromptSums, rows: np.ndarray, *, curvature: bool) -> list[Derivatives]:
        """By the mass that moves from p to q: by expm1, unless any of a prompt moves far."""
        prompts, a = self._prompts, self._c / (self._gamma * self._lambda)
        near = prompts.largest(np.abs(a)) <= 1.0
        of = prompts.each(near)
        moving = np.where(of, np.expm1(np.minimum(a, 1.0)), 1.0)[:, None]
        q = tilted_sums(prompts, np.where(of, self._tilt, self._tilt + a), moving * rows)
        found = []
        for near_, sums, moved, scale in (
            (near, p.whole, q.whole, q.whole_scale - p.whole_scale),
            (of, p.without, q.without, q.without_scale - p.without_scale),
        ):
            under_p, difference, log_ratio = _moments(near_, sums, moved, scale)
            found.append(
                penalised(
                    under_p, difference, log_ratio, self._lambda, self._gamma,
                    k=self._h.shape[1], curvature=curvature,
                )
            )  # fmt: skip
        return found


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


def _flat(found: Derivatives) -> np.ndarray:
    parts = [found.value[:, None], found.gradient]
    if found.hessian is not None:
        parts.append(found.hessian.reshape(len(found.value), -1))
    return np.concatenate(parts, axis=1)
