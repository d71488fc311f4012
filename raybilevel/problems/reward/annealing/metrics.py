"""What the history says of moved samples in place of what it says of rows: of their islands."""

from __future__ import annotations

import math

import numpy as np

from raybilevel.problems.base import Metrics
from raybilevel.problems.reward.groups.objective import GroupedObjective
from raybilevel.problems.reward.pool_objective import PoolObjective, PoolPoint
from raybilevel.upper.ladder.strata import sds_of_p0

OVER_SPREAD = "lambda_over_spread"
"""Lambda over the lower rewards' spread under p0, nan of a reward that has none; groups of prompts
have one each, with the group's name behind."""


def row_of_islands(point: PoolPoint) -> Metrics:
    """Islands, how far they disagree about log Z, and lambda in spreads of the rewards under p0.

    Nothing of samples that were not moved.
    """
    strata = point.objective.strata
    if strata is None:
        return {}
    return {
        "islands": float(len(strata.islands.units.of)),
        "log_z_sd": point.diagnostics.log_z_sd,
        **_over_spread(point),
    }


def nearest_rung(point: PoolPoint) -> int | None:
    """The rung whose samples have most of the weight; None of samples that were not moved."""
    strata = point.objective.strata
    if strata is None:
        return None
    return int(np.argmax(np.bincount(strata.rung, point.weights)))


def _over_spread(point: PoolPoint) -> Metrics:
    objective = point.objective
    found = [_lambda_over_spread(one, x) for one, x in objective.by_group(point.x)]
    if not isinstance(objective, GroupedObjective):
        return {OVER_SPREAD: found[0]}
    return {f"{OVER_SPREAD}/{g}": f for g, f in zip(objective.parts, found, strict=True)}


def _lambda_over_spread(objective: PoolObjective, x: np.ndarray) -> float:
    lambda_, *weights = objective.coefficients.at(x)
    assert objective.strata is not None, "samples are moved"
    prompts, rung = objective.strata.prompts, objective.strata.rung
    sds = sds_of_p0(prompts, rung, objective.strata.lower @ np.array(weights))
    spread = np.sqrt(prompts.shares @ sds**2)
    return float(lambda_ / spread) if spread > 0 else math.nan
