"""Whether a pool can be believed at a point: the gates that a number has to pass.

Importance weights with heavy tails give estimates and standard errors that look calm and are wrong
(Vehtari et al. 2024, arXiv 1507.02646; Chatterjee & Diaconis 2018, arXiv 1511.01437, for n against
exp(KL)).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from raybilevel.upper.gates import Gates, gates_for
from raybilevel.upper.pareto import pareto_k
from raybilevel.upper.penalty import Estimate
from raybilevel.upper.within import EstimateWithin

_SECOND_ORDER = 1.5  # standard errors of bias that the jackknife leaves, times n_c^2 / sqrt(n)


@dataclass(frozen=True)
class Diagnostics:
    """What the gates saw.

    Attributes
    ----------
    ess : smallest effective sample size of the tilted distributions.
    kl : largest KL(p || p0) in nats.
    pareto_k : largest Pareto k-hat of the weights and of the gradient's influences; nan where it is
        undefined (a constant tail) or was not needed, since a cheaper gate had failed.
    share : share of a gradient's variance that its samples hold, averaged over the variance: the
        largest sum of squared shares, in [1/n, 1] or 0 where nothing varies. 1 / share samples
        carry the variance, as `ess` samples carry the mean; its root is about the relative
        standard error of the variance.
    samples_needed : pool size at which the gates of size, share and correction would pass, were the
        tails no worse than now.
    correction : over prompts the largest correction by the jackknife, in standard errors.
    z_error : over prompts the relative standard error of their normalising constants.
    bias_left : over prompts about what the jackknife leaves of the bias, in standard errors.
    overlap, log_z_sd : of samples in islands, as for `IslandGates`, in place of ess, pareto_k,
        share and samples_needed, which are nan; nan elsewhere.
    failures : a phrase for each gate that failed; empty where the pool can be believed.
    """

    ess: float
    kl: float
    pareto_k: float
    share: float
    samples_needed: float
    failures: tuple[str, ...] = field(default=())
    correction: float = 0.0
    z_error: float = 0.0
    bias_left: float = 0.0
    overlap: float = math.nan
    log_z_sd: float = math.nan

    @property
    def ok(self) -> bool:
        """Whether every gate passed."""
        return not self.failures


def examine(
    estimate: Estimate, columns: list[int], gates: Gates | None = None, *, of: str = "gradient"
) -> Diagnostics:
    """Run the gates for the gradient's `columns` (indices into (lambda, w_1, ..., w_K)).

    Parameters
    ----------
    gates : None for those that its pool calls for.
    of : what the gradient is, in words.
    """
    prompts = estimate.prompts if isinstance(estimate, EstimateWithin) else None
    gates = gates or gates_for(prompts)
    n = estimate.gradient_influence.shape[0]
    ess = min(t.ess for t in estimate.tilts)
    kl_of_size = max(t.kl_of_size for t in estimate.tilts)
    influence = estimate.gradient_influence[:, columns]
    share = _largest_share(influence)
    failures = _size_failures(n, ess, kl_of_size, gates)
    needed = max(gates.samples_per_exp_kl * math.exp(kl_of_size), n * gates.min_ess / ess)
    of_prompts = _over_prompts(estimate, columns)
    for failure, times in (
        *_of_share(share, gates, of),
        *_of_prompts(*of_prompts, gates, several=prompts is not None and len(prompts.shares) > 1),
    ):
        failures.append(failure)
        needed = max(needed, n * times)
    if not gates.tail_of_gradient:
        influence = influence[:, :0]
    k = math.nan if failures else _largest_k(estimate, influence)
    if k > gates.max_pareto_k:
        failures.append(f"Pareto k-hat {k:.2f} is above {gates.max_pareto_k}")
    kl = max(t.kl for t in estimate.tilts)
    return Diagnostics(ess, kl, k, share, needed, tuple(failures), *of_prompts)


def _of_share(share: float, gates: Gates, of: str) -> Iterator[tuple[str, float]]:
    """A phrase, and how many times as many samples would do."""
    if share > gates.max_share:
        yield (
            f"{1 / share:.0f} samples carry the {of}'s variance, {1 / gates.max_share:.0f} must",
            share / gates.max_share,
        )


def _of_prompts(
    correction: float, z_error: float, bias_left: float, gates: Gates, *, several: bool
) -> Iterator[tuple[str, float]]:
    """The same of what is jackknifed: over several prompts, or for a KL of one."""
    bias, constant = ("bias", "the normalising constant")
    if several:
        bias, constant = ("bias over prompts", "a prompt's normalising constant")
    left = correction * z_error**2
    if left > gates.max_correction_left:
        yield (
            f"the {bias} is {correction:.1f} standard errors; its correction may "
            f"leave too much of it (about {left:.2f}, it must be {gates.max_correction_left:.2f})",
            (left / gates.max_correction_left) ** (2 / 3),
        )
    if z_error > gates.max_z_error:
        yield (
            f"{constant} is known to {z_error:.2%}, it must be to {gates.max_z_error:.0%}",
            (z_error / gates.max_z_error) ** 2,
        )
    if correction > gates.max_correction:
        yield (
            f"the {bias} is {correction:.1f} standard errors, up to "
            f"{gates.max_correction} can be corrected",
            (correction / gates.max_correction) ** 2,
        )
    if bias_left > gates.max_bias_left:
        yield (
            f"over so many prompts of few samples a bias of {bias_left:.2f} standard errors may be "
            f"left, it must be {gates.max_bias_left:.2f}",
            (bias_left / gates.max_bias_left) ** (2 / 3),
        )


def _over_prompts(estimate: Estimate, columns: list[int]) -> tuple[float, float, float]:
    """The largest correction, the error of a prompt's normalising constant, and what bias is left.

    With n_c samples the constant's relative variance is 1 / ESS_c - 1 / n_c (delta method); prompts
    are averaged as they are in the ESS of all.
    """
    if not isinstance(estimate, EstimateWithin):
        return 0.0, 0.0, 0.0
    corrections = np.append(estimate.gradient_correction[columns], estimate.value_correction)
    errors = np.append(estimate.gradient_se[columns], estimate.value_se)
    moved = errors > 0
    largest = float(np.max(np.abs(corrections[moved]) / errors[moved], initial=0.0))
    squares = estimate.prompts.shares**2
    untilted = float(squares @ (1 / estimate.prompts.counts))
    excess = max(1 / t.ess - untilted for t in estimate.tilts) / float(squares.sum())
    each = float(squares.sum()) / untilted  # samples of a prompt
    left = _SECOND_ORDER * math.sqrt(1 / untilted) / each**2
    return largest, math.sqrt(max(excess, 0.0)), left


def _size_failures(n: int, ess: float, kl: float, gates: Gates) -> list[str]:
    failures = []
    if ess < gates.min_ess:
        failures.append(f"ESS {math.floor(ess)} is below {gates.min_ess:.0f}")
    if n < gates.samples_per_exp_kl * math.exp(kl):
        failures.append(f"n {n} is below {gates.samples_per_exp_kl:.0f} exp(KL {kl:.2f})")
    return failures


def _largest_share(influence: np.ndarray) -> float:
    squares = influence**2
    total = np.sum(squares, axis=0)
    moved = total > 0
    shares = squares[:, moved] / total[moved]
    return float(np.max(np.sum(shares**2, axis=0), initial=0.0))


def _largest_k(estimate: Estimate, influence: np.ndarray) -> float:
    tails = [t.weights for t in estimate.tilts] + list(np.abs(influence).T)
    ks = np.array([pareto_k(tail) for tail in tails])
    return math.nan if np.isnan(ks).all() else float(np.nanmax(ks))
