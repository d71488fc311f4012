"""The paper's own estimate from guided paths: as if they were samples of p_x.

Xiao et al. 2025, arXiv 2502.08808, section 3.1, Algorithms 1, 2 and 5: p_x and p_{x,gamma} are
sampled by guidance alone, and with the KL of a path to p0's sampler

    dL/dlambda = gamma (KL_gamma - KL)      dL/dw_k = -gamma (E_gamma[r2_k] - E[r2_k])

Guidance by a reward of the predicted clean sample draws another law than p_x, and a path's KL is at
least its sample's; so all this is off, by how much the paths' exact weights can say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.upper.penalty import Estimate
from raybilevel.upper.prompts import Prompts, TiltedWithin, stratified_means


@dataclass(frozen=True, eq=False)
class PathsAlone:
    """What n guided paths say without weights.

    Attributes
    ----------
    upper : (n,), lower : (n, K), rewards.
    kl : (n,) in nats, sum_t tau_t^2 s.v_t.s / 2, whose mean is the KL of paths to p0's (Girsanov).
    """

    upper: np.ndarray
    lower: np.ndarray
    kl: np.ndarray


def unweighted(
    prompts: Prompts, paths: PathsAlone, penalised: PathsAlone, gamma: float
) -> Estimate:
    """F as paths of p_x have it, and the gradient of L_gamma.

    Parameters
    ----------
    prompts : which prompt each path is of; each has two at least.
    penalised : paths of p_{x,gamma}, row by row from the same noise as those of p_x.
    gamma : penalty constant, finite.
    """
    moved = np.column_stack([penalised.kl - paths.kl, paths.lower - penalised.lower])
    rows = np.column_stack([-paths.upper, gamma * moved])
    found, influence = stratified_means(prompts, rows)
    return Estimate(float(found[0]), found[1:], influence[:, 0], influence[:, 1:], ())


def mean_within(prompts: Prompts, h: np.ndarray) -> float:
    """The average over prompts of the means of h (n,)."""
    return float(TiltedWithin(prompts, np.zeros(len(h))).mean(h))
