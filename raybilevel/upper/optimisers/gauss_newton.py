"""Gauss-Newton steps for a mean of squared residuals, from sums over samples alone.

Legend: n samples with residuals r (D,) of d variables u, J = dr/du (D, d). What is minimised is
f(u) = E|r|^2; its gradient is 2 E[J'r], and 2 E[J'J] stands for its Hessian. Sums of J'J and J'r
over samples are all that is needed, however large D is. Where J is of central differences, column i
(r+ - r-) / (2 delta), and r is taken as (r+ + r-) / 2 in its product with that column, the gradient
is just the central difference of f. Steps are damped as Levenberg and
Marquardt's (Marquardt 1963, J. SIAM 11, 431-441), and kept in a box (Stark & Parker 1995, Comput.
Stat. 10, 129-141, by scipy's `lsq_linear`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

from raybilevel.upper.sums import SampleSums

_LEAST = 1e-12  # of the greatest curvature: what no residual heeds does not move


@dataclass(frozen=True, eq=False)
class ResidualSums(SampleSums):
    """Sums over some samples; those of others can be added, or taken away again.

    Attributes
    ----------
    count : n.
    slopes : (d,) sum of J'r.
    curvatures : (d, d) sum of J'J.
    """

    count: float
    slopes: np.ndarray
    curvatures: np.ndarray

    @property
    def gradient(self) -> np.ndarray:
        """(d,) of the mean of r'r."""
        return 2 * self.slopes / self.count

    def changes(self, steps: np.ndarray) -> np.ndarray:
        """How much the mean would change by steps (m, d), if residuals were linear: (m,)."""
        bent = np.einsum("mi,ij,mj->m", steps, self.curvatures, steps)
        return np.asarray((2 * steps @ self.slopes + bent) / self.count)


def damped_step(
    sums: ResidualSums, damping: float, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """The step (d,) within [low, high] that is best if residuals are linear.

    It minimises what `changes` says plus damping * sum_i diag(J'J)_i step_i^2 / n, so that
    variables of any scale are damped alike.

    Parameters
    ----------
    damping : above 0: 0.01 is nearly the whole step, 100 a short one down the gradient.
    low, high : (d,) bounds of the step: at most 0, at least 0.
    """
    diagonal = np.diagonal(sums.curvatures)
    floor = _LEAST * diagonal.max(initial=0.0) + np.finfo(float).tiny
    scale = np.sqrt(np.maximum(diagonal, floor))
    curved = sums.curvatures / np.outer(scale, scale) + damping * np.eye(len(scale))
    root = np.linalg.cholesky(curved)  # curved = root root'
    target = -np.linalg.solve(root, sums.slopes / scale)
    apart = np.finfo(float).tiny  # scipy wants bounds that differ
    found = lsq_linear(root.T, target, (low * scale - apart, high * scale + apart), method="bvls")
    return np.clip(found.x / scale, low, high)
