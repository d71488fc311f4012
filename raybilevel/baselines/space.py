"""A problem's variables as Ray Tune and Optuna see them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from raybilevel.upper.variables import Variable


def tune_space(variables: Sequence[Variable]) -> dict[str, Any]:
    """Ray Tune's domains: the box, on each variable's scale."""
    from ray import tune

    made = {"linear": tune.uniform, "log": tune.loguniform}
    return {v.name: made[v.scale](v.low, v.high) for v in variables}


def optuna_space(variables: Sequence[Variable]) -> dict[str, Any]:
    """Optuna's distributions: the same."""
    from optuna.distributions import FloatDistribution

    return {v.name: FloatDistribution(v.low, v.high, log=v.scale == "log") for v in variables}


def grid_axes(variables: Sequence[Variable], points: int) -> list[list[float]]:
    """`points` values of each variable, evenly on its scale, bounds included."""
    return [
        [v.from_scaled(z) for z in np.linspace(v.to_scaled(v.low), v.to_scaled(v.high), points)]
        for v in variables
    ]


def grid(variables: Sequence[Variable], points: int) -> np.ndarray:
    """All of a grid's points (points^d, d)."""
    return np.array(list(itertools.product(*grid_axes(variables, points))))


def initial(variables: Sequence[Variable]) -> dict[str, float]:
    """Where every variable begins."""
    return {v.name: v.init for v in variables}
