"""Guided paths of several strengths joined: what drew them, relative to p0.

A path whose noise was pushed along rewards' gradients by s = w / lambda has, relative to the
sampler itself, the density exp(s.u - s.v.s / 2), with u (K,) and v (K, K) summed over its steps,
times tau_t and tau_t^2 (`lower/sampling/guidance/call.py`). So the density of every path under
every stratum is known, and all of them are one pool by the balance heuristic (Veach & Guibas 1995,
SIGGRAPH, section 3.3):

    log p0 / q = -log sum_k (N_k / N) exp(s_k.u - s_k.v.s_k / 2)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.upper.prompts import Prompts


@dataclass(frozen=True, eq=False)
class GuidedPaths:
    """The strata that a pool's paths are of; they are independent.

    Attributes
    ----------
    prompts : which prompt each path (n,) is of.
    stratum : (n,) in [0, S).
    scales : (S, C, K) the s of each stratum and prompt.
    u : (n, K), v : (n, K, K) of each path.
    """

    prompts: Prompts
    stratum: np.ndarray
    scales: np.ndarray
    u: np.ndarray
    v: np.ndarray

    @cached_property
    def log_base(self) -> np.ndarray:
        """(n,) log p0 / q of the mixture of all strata."""
        s, c = self.scales.shape[:2]
        places = self.stratum * c + self.prompts.of
        counts = np.bincount(places, minlength=s * c).reshape(s, c)
        with np.errstate(divide="ignore"):  # of a stratum of which nothing is drawn yet
            log_shares = np.log(counts / self.prompts.counts)[:, self.prompts.of]
        return np.asarray(-np.logaddexp.reduce(log_shares + self.log_ratios(self.scales), axis=0))

    def log_ratios(self, scales: np.ndarray) -> np.ndarray:
        """(S, n) log q / p0 of each path under each of scales (S, C, K)."""
        s = scales[:, self.prompts.of]
        return np.asarray(np.einsum("snk,nk->sn", s, self.u) - path_kls(s, self.v))

    @cached_property
    def own_kl(self) -> np.ndarray:
        """(n,) s.v.s / 2 at the s that drew the path, whose mean is the KL of paths to p0's."""
        s = self.scales[self.stratum, self.prompts.of]
        return path_kls(s, self.v)


def path_kls(s: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(..., n) s.v.s / 2, for s (..., n, K) and v (n, K, K): its mean is a KL (Girsanov)."""
    return np.asarray(np.einsum("...nk,nkl,...nl->...n", s, v, s) / 2)
