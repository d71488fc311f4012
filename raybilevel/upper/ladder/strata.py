"""Samples of several tilts joined: what drew them, relative to p0.

A rung of a ladder is a stratum: samples of p_k ~ p0 exp(s_k . r2), s = w / lambda, in islands whose
own estimates of Z_k say how much each island counts. All strata of a prompt are one pool by the
balance heuristic (Veach & Guibas 1995, SIGGRAPH, section 3.3; for tilts Shirts & Chodera 2008,
J. Chem. Phys. 129, 124105): a row of island i of rung k has

    log p0 / q = log Z_ki - a_k - log sum_l (N_l / N) exp(s_l . r2 - a_l)     a_k = log mean_i Z_ki

The heuristic's shares add up to one whatever the a_l are: their errors move an estimate in second
order alone, and a jackknife over islands may hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.upper.islands import Islands
from raybilevel.upper.prompts import Prompts, TiltedWithin


@dataclass(frozen=True, eq=False)
class Strata:
    """The rungs that a pool's samples are of.

    Attributes
    ----------
    prompts : which prompt each sample (n,) is of.
    island : (n,) the sample's, in [0, C J), J of each prompt, counted prompt by prompt.
    rung : (n,) in [0, R), 0 is p0.
    scales : (R, C, K) the s of each rung and prompt, zero at rung 0.
    log_z : (R, C, J) the estimate of each island.
    lower : (n, K) the lower rewards.
    size : samples that a rung of a prompt has at least; of p0's, which are independent, more may
        be drawn for more to be effective.
    """

    prompts: Prompts
    island: np.ndarray
    rung: np.ndarray
    scales: np.ndarray
    log_z: np.ndarray
    lower: np.ndarray
    size: int

    @cached_property
    def log_base(self) -> np.ndarray:
        """(n,) log p0 / q of the mixture of all rungs."""
        of, island = self.prompts.of, self.island % self.log_z.shape[2]
        own = self.log_z[self.rung, of, island] - _log_mean_exp(self.log_z)[self.rung, of]
        return np.asarray(own - np.logaddexp.reduce(self._log_parts, axis=0))

    @cached_property
    def without_islands(self) -> np.ndarray:
        """(J, n) what weights are multiplied by where a_k does without each prompt's j-th island.

        Errors of a_k are of second order in an estimate; but so is the bias of a KL.
        """
        of, a, j = self.prompts.of, _log_mean_exp(self.log_z), self.log_z.shape[2]
        shares = np.exp(self._log_parts - np.logaddexp.reduce(self._log_parts, axis=0))
        found = np.empty((j, len(of)))
        for island, row in enumerate(found):
            less = _log_mean_exp(np.delete(self.log_z, island, axis=2))
            factors = np.exp(a - less)[:, of]
            row[:] = factors[self.rung, np.arange(len(of))] / np.sum(shares * factors, axis=0)
        return found

    @cached_property
    def islands(self) -> Islands:
        """Which prompt and island each sample is of."""
        return Islands(self.prompts.of, self.prompts.shares, self.island)

    @property
    def last(self) -> np.ndarray:
        """(n,) whether a sample is of its prompt's last rung that has any."""
        return of_last_rung(self.prompts, self.rung)

    def overlaps(self, tilt: np.ndarray) -> np.ndarray:
        """(C,) of a tilt (n,): the most effective samples of a rung, over those that one has."""
        strata, used = self._strata
        shares = effective_shares(strata, (tilt - self._own)[strata.order])
        of_p0 = used < len(self.prompts.shares)
        shares[of_p0] *= np.maximum(strata.counts[of_p0] / self.size, 1.0)
        found = np.zeros(len(self.prompts.shares))
        np.maximum.at(found, used % len(found), shares)
        return found

    def at(self, rows: np.ndarray, places: np.ndarray) -> Strata:
        """Some prompts alone, whose samples are `rows` (m,), prompt by prompt."""
        prompts, j = self.prompts.at(places), self.log_z.shape[2]
        return Strata(
            prompts,
            prompts.of * j + self.island[rows] % j,
            self.rung[rows],
            self.scales[:, places],
            self.log_z[:, places],
            self.lower[rows],
            self.size,
        )

    @cached_property
    def _log_parts(self) -> np.ndarray:
        """(R, n) what each rung adds to the mixture where a sample is."""
        with np.errstate(divide="ignore"):  # of a rung that a prompt had no use for
            shares = np.log(self._counts / self.prompts.counts) - _log_mean_exp(self.log_z)
        return np.asarray(shares[:, self.prompts.of] + self._tilts)

    @cached_property
    def _tilts(self) -> np.ndarray:
        """(R, n) each sample's under every rung."""
        return np.stack([np.sum(self.lower * s[self.prompts.of], 1) for s in self.scales])

    @cached_property
    def _own(self) -> np.ndarray:
        """(n,) the tilt that each sample was drawn with."""
        return self._tilts[self.rung, np.arange(len(self.rung))]

    @cached_property
    def _counts(self) -> np.ndarray:
        """(R, C) samples of each rung and prompt."""
        r, c = self.log_z.shape[:2]
        return np.bincount(self._places, minlength=r * c).reshape(r, c)

    @cached_property
    def _places(self) -> np.ndarray:
        """(n,) which of all rungs and prompts each sample is of."""
        return np.asarray(self.rung * len(self.prompts.shares) + self.prompts.of)

    @cached_property
    def _strata(self) -> tuple[Prompts, np.ndarray]:
        """Rungs of each prompt that have samples, and which of all they are."""
        used, of = np.unique(self._places, return_inverse=True)
        return Prompts(of, np.full(len(used), 1 / len(used))), used


def of_last_rung(prompts: Prompts, rung: np.ndarray) -> np.ndarray:
    """(n,) whether a sample, whose rung (n,) is given, is of its prompt's last that has any."""
    return np.asarray(rung == last_rungs(prompts, rung)[prompts.of])


def last_rungs(prompts: Prompts, rung: np.ndarray) -> np.ndarray:
    """(C,) the last rung of each prompt that has samples, whose rungs (n,) are given."""
    last = np.zeros(len(prompts.shares), np.int64)
    np.maximum.at(last, prompts.of, rung)
    return last


def sds_of_p0(prompts: Prompts, rung: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    """(C,) standard deviation of a tilt (n,) under p0, within each prompt."""
    rows = np.flatnonzero(rung == 0)
    p0 = TiltedWithin(Prompts(prompts.of[rows], prompts.shares), np.zeros(len(rows)))
    return np.asarray(np.sqrt(p0.means(p0.centred(tilt[rows]) ** 2)))


def _log_mean_exp(a: np.ndarray) -> np.ndarray:
    top = a.max(-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.mean(np.exp(a - top), axis=-1)))


def effective_shares(
    strata: Prompts, log_weights: np.ndarray, log_base: np.ndarray | None = None
) -> np.ndarray:
    """(S,) Kish's effective share within each stratum of ordered log-weights (n,).

    Parameters
    ----------
    log_base : (n,) ordered log-weights that make of the samples those of which it is the share;
        None where these are the samples.
    """
    base = np.ones(len(log_weights)) if log_base is None else _over_largest(strata, log_base)
    weights = _over_largest(strata, log_weights)
    once, squared = strata.sums(base * weights), strata.sums(base * weights**2)
    return np.asarray(once**2 / (strata.sums(base) * squared))


def _over_largest(strata: Prompts, log_weights: np.ndarray) -> np.ndarray:
    """(n,) weights over the largest of their stratum."""
    return np.asarray(np.exp(log_weights - strata.each(strata.largest(log_weights))))
