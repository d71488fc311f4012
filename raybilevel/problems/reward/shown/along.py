"""One sample a prompt along lambda: how samples change from p0 to p_x, and what lies beyond.

Where p(u) ~ p0(u) exp(t(u) / lambda), t being the weighted lower rewards, the row of a pool with
the largest t_i / lambda + G_i, all G_i from Gumbel(0, 1), is a sample of p (Maddison et al. 2014,
arXiv 1411.0030, section 2). With the same G for every lambda a row stays until another overtakes
it, whose t is larger: samples beside each other differ only where the tilt makes them differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile
from typing import ClassVar

import numpy as np

from raybilevel.problems.reward.pool_objective import PoolObjective, Restricted
from raybilevel.upper.variables import Variable

_ABOVE, _BELOW = (4.0, 2.0), (0.5, 0.25)  # times the lambda where a run ends
_GUMBEL = 0x67756D62  # of the seed


@dataclass(frozen=True, eq=False)
class AlongLambda:
    """Rows of a pool, of P prompts along L lambdas.

    Attributes
    ----------
    prompts : (P,) which of the prompts that are drawn from.
    lambdas : (P, L) falling from infinity, where p is p0; each is its prompt's group's.
    rows : (P, L) of the objective's pool.
    """

    END: ClassVar[int] = 1 + len(_ABOVE)
    """The column of the lambda where the run ends."""

    NAMES: ClassVar[tuple[str, ...]] = ("prompts", "lambdas")
    """Of what the state keeps beside the samples."""

    prompts: np.ndarray
    lambdas: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(
        cls, objective: PoolObjective, x: np.ndarray, seed: int, prompts: int
    ) -> AlongLambda | None:
        """Of so many prompts, the first, at x (d,); None where the lambda of none is tuned."""
        factors = np.array([math.inf, *_ABOVE, 1.0, *_believed_below(objective, x)])
        rng = np.random.default_rng([seed, _GUMBEL])
        alone = [_alone(objective, c, x) for c in range(prompts)]
        tuned = [c for c, (part, _) in enumerate(alone) if _lambda_of(part.objective) is not None]
        if not tuned:
            return None
        found = [_path(*alone[c], factors, rng) for c in tuned]
        lambdas, rows = (np.stack(each) for each in zip(*found, strict=True))
        return cls(np.array(tuned), lambdas, rows)


def coupled(tilts: np.ndarray, lambdas: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A sample at each lambda (L,), by its place among tilts (n,) times lambda.

    Parameters
    ----------
    noise : (n,) from Gumbel(0, 1), and what log-weights begin with.
    """
    return np.argmax(tilts / lambdas[:, None] + noise, axis=1)


def _path(
    part: Restricted, x: np.ndarray, factors: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Lambdas (L,) and rows (L,) of one prompt."""
    lambda_, *weights = part.objective.coefficients.at(x)
    tilts = part.objective.pool.lower @ np.array(weights)
    lambdas, noise = lambda_ * factors, rng.gumbel(size=len(tilts)) + part.objective.pool.base
    return lambdas, part.rows[coupled(tilts, lambdas, noise)]


def _alone(objective: PoolObjective, prompt: int, x: np.ndarray) -> tuple[Restricted, np.ndarray]:
    """The objective on one prompt, and what x (d,) is there."""
    if objective.prompts is None:
        rows, units = np.arange(objective.pool.n), np.arange(objective.units)
        return Restricted(rows, units, 1.0, objective), x
    return objective.of_prompts(np.array([prompt]), x)


def _lambda_of(objective: PoolObjective) -> Variable | None:
    """Lambda, where it is tuned."""
    lambda_ = objective.coefficients.given[0]
    return lambda_ if isinstance(lambda_, Variable) else None


def _believed_below(objective: PoolObjective, x: np.ndarray) -> list[float]:
    """Times x's lambdas: where the pool can be believed, as it can there, and the box reaches."""
    groups = objective.by_group(x)
    below = takewhile(
        lambda factor: all(_believed(one, here, factor) for one, here in groups), (1.0, *_BELOW)
    )
    return list(below)[1:]


def _believed(objective: PoolObjective, x: np.ndarray, factor: float) -> bool:
    """Whether all gates pass at so many times lambda."""
    lambda_ = _lambda_of(objective)
    if lambda_ is None:
        return True
    there = x.copy()
    there[objective.columns.index(0)] *= factor
    inside = there[objective.columns.index(0)] >= lambda_.low
    return bool(inside) and objective.at(there).diagnostics.ok
