"""Estimates over several prompts: p_x is normalised within each, as KL-regularised tuning does.

    F(x) = sum_c pi_c F_c(x)    F_c = -E_{p_x(.|c)}[r1]    p_x(u|c) ~ p0(u|c) exp(r2(u, c) / lambda)

Samples of different prompts are independent, so that with n_c of n samples a prompt the influence
of a sample on the whole estimate is pi_c n / n_c times that on its prompt's, and the squared
standard error is sum_c pi_c^2 SE_c^2 (Cochran 1977, Sampling Techniques, section 5.4: stratified
sampling). Each F_c has a bias of order 1 / n_c, and biases add over prompts while errors average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.upper.penalty import Estimate, Pool, estimate
from raybilevel.upper.tilting import Tilt


@dataclass(frozen=True, eq=False)
class Prompts:
    """Which prompt each of a pool's samples belongs to.

    Attributes
    ----------
    of : (n,) the sample's prompt, in [0, C); every prompt has samples.
    shares : (C,) pi_c, summing to one.
    """

    of: np.ndarray
    shares: np.ndarray

    @cached_property
    def rows(self) -> list[np.ndarray]:
        """The samples (n_c,) of each prompt."""
        order = np.argsort(self.of, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.of, minlength=len(self.shares)))[:-1])


@dataclass(frozen=True, eq=False)
class TiltedWithin(Tilt):
    """A pool of several prompts, each tilted by itself; means are averages over prompts.

    So 1 / ess is sum_c(pi_c^2 / ESS_c).

    Attributes
    ----------
    parts : a tilt a prompt.
    """

    prompts: Prompts
    parts: Sequence[Tilt]

    @property
    def n(self) -> int:
        """Samples in the pool."""
        return len(self.prompts.of)

    @cached_property
    def weights(self) -> np.ndarray:
        """(n,), summing to a prompt's share within it."""
        weights = np.empty(self.n)
        for rows, share, part in self._prompts:
            weights[rows] = share * part.weights
        return weights

    @cached_property
    def kl(self) -> float:
        """KL(p || p0) in nats, averaged over prompts by their shares."""
        return float(sum(share * part.kl for _, share, part in self._prompts))

    @cached_property
    def kl_of_size(self) -> float:
        """Log sum_c (pi_c n / n_c) exp(KL_c): where each prompt has enough, all have."""
        terms = [
            math.log(share * self.n / len(rows)) + part.kl_of_size
            for rows, share, part in self._prompts
        ]
        return float(np.logaddexp.reduce(terms))

    def centred(self, h: np.ndarray) -> np.ndarray:
        """What is left of h (n,) without its mean within the sample's prompt."""
        centred = np.empty(self.n)
        for rows, _, part in self._prompts:
            centred[rows] = part.centred(h[rows])
        return centred

    @property
    def _prompts(self) -> zip[tuple[np.ndarray, float, Tilt]]:
        return zip(self.prompts.rows, self.prompts.shares.tolist(), self.parts, strict=True)


def estimate_within(
    pool: Pool, prompts: Prompts, lambda_: float, weights: np.ndarray, gamma: float = math.inf
) -> Estimate:
    """F or L_gamma at (lambda, weights) with its gradient: as `estimate`, within prompts."""
    parts = [
        estimate(Pool(pool.upper[rows], pool.lower[rows]), lambda_, weights, gamma)
        for rows in prompts.rows
    ]
    value_influence = np.empty(pool.n)
    gradient_influence = np.empty((pool.n, 1 + pool.lower.shape[1]))
    for rows, share, part in zip(prompts.rows, prompts.shares, parts, strict=True):
        scale = share * pool.n / len(rows)
        value_influence[rows] = scale * part.value_influence
        gradient_influence[rows] = scale * part.gradient_influence
    return Estimate(
        float(prompts.shares @ [part.value for part in parts]),
        prompts.shares @ np.stack([part.gradient for part in parts]),
        value_influence,
        gradient_influence,
        tuple(TiltedWithin(prompts, t) for t in zip(*(p.tilts for p in parts), strict=True)),
    )
