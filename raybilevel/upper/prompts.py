"""A pool of several prompts: p_x is normalised within each, as KL-regularised tuning does.

F(x) = sum_c pi_c F_c(x)    F_c = -E_{p_x(.|c)}[r1]    p_x(u|c) ~ p0(u|c) exp(r2(u, c) / lambda)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raybilevel.upper.tilting import Tilt


@dataclass(frozen=True, eq=False)
class Prompts:
    """Which prompt each of a pool's samples belongs to.

    Sums and maxima are of rows in `order`, where the samples of a prompt lie together.

    Attributes
    ----------
    of : (n,) the sample's prompt, in [0, C); every prompt has samples.
    shares : (C,) pi_c, summing to one.
    """

    of: np.ndarray
    shares: np.ndarray

    @property
    def units(self) -> Prompts:
        """What is left out one at a time to tell how sure an estimate is: each sample."""
        return self

    @property
    def sizes(self) -> np.ndarray:
        """(U,) samples of each unit."""
        return np.ones(len(self.of), dtype=np.int64)

    @cached_property
    def counts(self) -> np.ndarray:
        """(C,) samples of each prompt."""
        return np.bincount(self.of, minlength=len(self.shares))

    @cached_property
    def order(self) -> np.ndarray:
        """(n,) the samples prompt by prompt."""
        return np.argsort(self.of, kind="stable")

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.cumsum(self.counts) - self.counts

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """(C, ...) of ordered rows (n, ...), within each prompt."""
        return np.add.reduceat(rows, self._starts, axis=0)

    def largest(self, rows: np.ndarray) -> np.ndarray:
        """(C,) of ordered rows (n,), within each prompt."""
        return np.maximum.reduceat(rows, self._starts)

    def log_means(self, log_rows: np.ndarray) -> np.ndarray:
        """(C,) log of the mean of exp of ordered rows (n,), within each prompt."""
        top = self.largest(log_rows)
        return np.asarray(top + np.log(self.sums(np.exp(log_rows - self.each(top))) / self.counts))

    def each(self, of_prompts: np.ndarray) -> np.ndarray:
        """(n, ...) ordered rows that have what their prompt has, (C, ...)."""
        return np.repeat(of_prompts, self.counts, axis=0)

    def rows_of(self, places: np.ndarray) -> np.ndarray:
        """The samples (m,) of some prompts, prompt by prompt."""
        counts, ends = self.counts, np.cumsum(self.counts)
        return np.concatenate([self.order[ends[c] - counts[c] : ends[c]] for c in places])

    def at(self, places: np.ndarray) -> Prompts:
        """Some prompts alone, of their rows in order."""
        of = np.repeat(np.arange(len(places)), self.counts[places])
        return Prompts(of, self.shares[places] / self.shares[places].sum())

    def in_pool(self, rows: np.ndarray) -> np.ndarray:
        """Ordered rows (n, ...) in the order of the pool."""
        found = np.empty_like(rows)
        found[self.order] = rows
        return found


@dataclass(frozen=True, eq=False)
class TiltedWithin(Tilt):
    """A pool of several prompts, each tilted by itself; means are averages over prompts.

    So 1 / ess is sum_c(pi_c^2 / ESS_c).

    Attributes
    ----------
    tilt : (n,) in the order of the pool, as for `Tilted`.
    log_base : (n,) log p0 / q of what drew the samples, q; 0 where p0 did.
    """

    prompts: Prompts
    tilt: np.ndarray
    log_base: np.ndarray | float = 0.0

    @property
    def n(self) -> int:
        """Samples in the pool."""
        return len(self.tilt)

    @cached_property
    def _ordered(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights (n,) within prompts, in order, and log Z (C,)."""
        prompts, tilt = self.prompts, (self.tilt + self.log_base)[self.prompts.order]
        top = prompts.largest(tilt)
        unnormalised = np.exp(tilt - prompts.each(top))
        total = prompts.sums(unnormalised)
        return unnormalised / prompts.each(total), top + np.log(total / prompts.counts)

    @cached_property
    def weights(self) -> np.ndarray:
        """(n,), summing to a prompt's share within it."""
        return self.prompts.in_pool(self._ordered[0] * self.prompts.each(self.prompts.shares))

    @cached_property
    def kls(self) -> np.ndarray:
        """KL(p_c || p0_c) in nats of every prompt (C,)."""
        return np.maximum(self.means(self.tilt) - self._ordered[1], 0.0)

    @cached_property
    def kl(self) -> float:
        """KL(p || p0) in nats, averaged over prompts by their shares."""
        return float(self.prompts.shares @ self.kls)

    @cached_property
    def kl_of_size(self) -> float:
        """Log sum_c (pi_c n / n_c) exp(KL_c): where each prompt has enough, all have.

        KL_c is KL(p_c || q_c), of what drew the samples.
        """
        scale = self.prompts.shares * self.n / self.prompts.counts
        kls = np.maximum(self.means(self.tilt + self.log_base) - self._ordered[1], 0.0)
        return float(np.logaddexp.reduce(np.log(scale) + kls))

    def means(self, h: np.ndarray) -> np.ndarray:
        """E_{p_c}[h] of every prompt, (C,) or (C, k), for h (n,) or (n, k)."""
        weights = self._ordered[0] if h.ndim == 1 else self._ordered[0][:, None]
        return self.prompts.sums(weights * h[self.prompts.order])

    def centred(self, h: np.ndarray) -> np.ndarray:
        """What is left of h (n,) without its mean within the sample's prompt."""
        return h - self.means(h)[self.prompts.of]


def stratified_means(prompts: Prompts, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Averages (m,) over prompts of the means of rows (n, m), and the rows' influences (n, m).

    Standard errors are the influences' root mean square over sqrt(n), as for `Estimate`; each
    prompt has two rows at least.
    """
    rows, counts = rows[prompts.order], prompts.counts
    means = prompts.sums(rows) / counts[:, None]
    scale = prompts.shares * len(rows) / np.sqrt(counts * (counts - 1))
    influence = prompts.each(scale)[:, None] * (rows - prompts.each(means))
    return prompts.shares @ means, prompts.in_pool(influence)
