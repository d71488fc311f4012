"""Particles of p_x and their ancestors at each rung: how samples change on their way from p0.

Where a reward is over-optimised, it is seen here at which lambda that begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.annealing.rungs import counting_rows
from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.drawing.lineages import ancestry
from raybilevel.problems.reward.groups.objective import GroupedObjective
from raybilevel.problems.reward.pool_objective import PoolObjective, PoolPoint
from raybilevel.upper.resampling import resample
from raybilevel.upper.variables import Variable

_SHOWN, _COLUMNS = 8, 10
_CHOICE = 0x616E6373  # of the seed


@dataclass(frozen=True, eq=False)
class Descendants:
    """Rows of a pool, of P particles at R rungs.

    Attributes
    ----------
    rows : (P, R) of the pool, the particle itself last.
    rungs, lambdas : (P, R) where each was drawn: infinity for p0, nan where lambda is not tuned.
    prompts : (P,) which of the prompts that are drawn from.
    """

    NAMES: ClassVar[tuple[str, ...]] = ("rungs", "lambdas", "prompts")
    """Of what the state keeps beside the samples."""

    rows: np.ndarray
    rungs: np.ndarray
    lambdas: np.ndarray
    prompts: np.ndarray

    @classmethod
    def of(cls, state: Arrays, point: PoolPoint) -> Self | None:
        """Of particles that went all the way, chosen by their weights; None where none moved."""
        strata = point.objective.strata
        if strata is None or not np.any(state["pool/parent"] >= 0):
            return None
        rng = np.random.default_rng([int(state["seed_base"]), _CHOICE])
        weights = np.where(strata.last, point.weights, 0.0)
        chosen = resample(weights / weights.sum(), _SHOWN, rng)
        columns = _evenly(int(strata.rung[chosen].max()))
        particles = counting_rows(state)[chosen]
        rows = np.stack([_ancestors(state, row, columns) for row in particles])
        rungs, prompts = state["pool/rung"][rows], strata.prompts.of[chosen]
        scales = strata.scales[rungs, prompts[:, None]]
        named = zip(prompts, scales, strict=True)
        lambdas = [_lambdas(_coefficients(point.objective, int(c)), s) for c, s in named]
        return cls(rows, rungs, np.stack(lambdas), prompts)


def _evenly(last: int) -> np.ndarray:
    """Rungs from p0 to the last, at most as many as there are columns."""
    return np.unique(np.round(np.linspace(0, last, min(last + 1, _COLUMNS))).astype(int))


def _ancestors(state: Arrays, row: int, columns: np.ndarray) -> np.ndarray:
    """The last of a row's ancestry at each rung (R,), or before where its prompt skipped that."""
    path = np.array(ancestry(state, row))
    path = path[state["pool/rung"][path] >= 0]
    return path[np.searchsorted(state["pool/rung"][path], columns, side="right") - 1]


def _coefficients(objective: PoolObjective, prompt: int) -> Coefficients:
    """Those of a prompt."""
    if isinstance(objective, GroupedObjective):
        return objective.coefficients.parts[objective.groups[prompt]]
    return objective.coefficients


def _lambdas(coefficients: Coefficients, scales: np.ndarray) -> np.ndarray:
    """What lambda is where s is `scales` (R, K): a weight that is a number, over its s."""
    lambda_, *weights = coefficients.given
    fixed = [k for k, w in enumerate(weights) if not isinstance(w, Variable) and w != 0]
    if not isinstance(lambda_, Variable) or not fixed:
        return np.full(len(scales), math.nan)
    with np.errstate(divide="ignore"):  # p0, where s is 0
        return np.abs(weights[fixed[0]] / scales[:, fixed[0]])
