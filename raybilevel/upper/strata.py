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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.upper.islands import Islands
from raybilevel.upper.prompts import Prompts

_HALVINGS = 40
_LEAST = 0.72  # then halfway between two rungs 0.89 of their samples are effective


@dataclass(frozen=True, eq=False)
class Strata:
    """The rungs that a pool's samples are of.

    Attributes
    ----------
    prompts : which prompt each sample (n,) is of.
    island : (n,) the sample's, in [0, C J), J of each prompt, counted prompt by prompt.
    rung : (n,) in [0, R), 0 is p0; -1 of what counts for nothing, as it is on its way there.
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
        of, counts, a = self.prompts.of, self._counts, _log_mean_exp(self.log_z)
        with np.errstate(divide="ignore"):  # of a rung that a prompt had no use for
            log_shares = np.log(counts / self.prompts.counts) - a
        mixture = np.full(len(of), -np.inf)
        for log_share, tilt in zip(log_shares, self._tilts, strict=True):
            np.logaddexp(mixture, log_share[of] + tilt, out=mixture)
        own = self.log_z[self.rung, of, self.island % self.log_z.shape[2]] - a[self.rung, of]
        return np.where(self.rung >= 0, own - mixture, -np.inf)

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
        strata, used, rows = self._strata
        shares = _effective(strata, (tilt - self._own)[rows])
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
        """(m,) which of all rungs and prompts each sample that counts is of."""
        places = self.rung * len(self.prompts.shares) + self.prompts.of
        return np.asarray(places[self.rung >= 0])

    @cached_property
    def _strata(self) -> tuple[Prompts, np.ndarray, np.ndarray]:
        """Rungs of each prompt that have samples; which of all they are; their rows, in order."""
        used, of = np.unique(self._places, return_inverse=True)
        strata = Prompts(of, np.full(len(used), 1 / len(used)))
        rows = np.flatnonzero(self.rung >= 0)[strata.order]
        return strata, used, rows


def of_last_rung(prompts: Prompts, rung: np.ndarray) -> np.ndarray:
    """(n,) whether a sample, whose rung (n,) is given, is of its prompt's last that has any."""
    last = np.zeros(len(prompts.shares), np.int64)
    np.maximum.at(last, prompts.of, rung)
    return np.asarray(rung == last[prompts.of])


def _log_mean_exp(a: np.ndarray) -> np.ndarray:
    top = a.max(-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.mean(np.exp(a - top), axis=-1)))


def _effective(strata: Prompts, log_weights: np.ndarray) -> np.ndarray:
    """(S,) Kish's effective share of ordered log-weights (n,) within each stratum."""
    weights = np.exp(log_weights - strata.each(strata.largest(log_weights)))
    return np.asarray(strata.sums(weights) ** 2 / (strata.counts * strata.sums(weights**2)))


def next_steps(
    prompts: Prompts, tilt: np.ndarray, effective: np.ndarray, sds: np.ndarray
) -> np.ndarray:
    """(C,) how far along a tilt (n,) prompts' samples stay effective: in [0, 1].

    As far for all of them, in standard deviations of the tilt, as they are on average: each has few
    chains, and a step as far as these happen to allow would bias what they say of Z. None goes so
    far that less than `_LEAST` of the wanted share is left of its own.

    Parameters
    ----------
    prompts : of the samples of one rung.
    effective : (C,) the share of samples that has to be, in (0, 1).
    sds : (C,) standard deviations of the tilt under p0; 0 of a prompt that stays where it is.
    """
    ordered, moving = tilt[prompts.order], sds > 0
    if not moving.any():
        return np.ones(len(sds))

    def shares(steps: np.ndarray) -> np.ndarray:
        return _effective(prompts, prompts.each(steps) * ordered) / effective

    def steps(reach: np.ndarray) -> np.ndarray:
        return np.where(moving, np.minimum(reach, sds) / np.where(moving, sds, 1.0), 1.0)

    def enough(reach: np.ndarray) -> np.ndarray:
        there, own = steps(reach) == 1.0, shares(steps(reach))
        going = own[moving & ~(there & (own >= 1.0))]
        return np.asarray(going.mean() >= 1.0 if going.size else True)

    reach = _farthest(enough, sds.max())
    return np.minimum(steps(reach), _farthest(lambda t: shares(t) >= _LEAST, np.ones(len(sds))))


def _farthest(enough: Callable[[np.ndarray], np.ndarray], most: np.ndarray) -> np.ndarray:
    """Largest numbers up to `most` that are enough, each by itself, where more are not."""
    low, high = np.zeros_like(most), most
    whole = enough(most)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        near = enough(middle)
        low, high = np.where(near, middle, low), np.where(near, high, middle)
    return np.where(whole, most, low)
