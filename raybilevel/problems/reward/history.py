"""The reward problem's rows of the history."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from raybilevel.problems.base import Metrics
from raybilevel.problems.reward.annealing.metrics import row_of_islands
from raybilevel.problems.reward.groups.solution import GroupedSolution
from raybilevel.problems.reward.pool_objective import PoolPoint
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.problems.reward.targets.objective import TargetObjective
from raybilevel.upper.variables import Variable
from raybilevel.upper.within import EstimateOverPrompts

LIKE_THESE = "_prompts_like_these"
"""Ends the name of a number that is for prompts like these, in place of these themselves."""


def row(solution: PoolSolution, held_out: np.ndarray | None) -> Metrics:
    """Metrics of a round; nan for what its pool cannot say.

    Parameters
    ----------
    held_out : (n,) rewards that are never optimised.
    """
    point = solution.point
    numbers = _losses(solution, held_out) | _like_these(solution)
    if not solution.believed:  # the pool can be believed nowhere: no number at all
        numbers = dict.fromkeys(numbers, math.nan)
    return {
        **_config(point),
        **numbers,
        **_of_variables(solution),
        **(row_of_islands(point) or _of_rows(point)),
        "kl": point.diagnostics.kl,
        "pool_size": float(solution.n),
        **_prompts(point),
        "upper_evaluations": float(solution.evaluations),
    }


def _of_rows(point: PoolPoint) -> Metrics:
    """What the gates saw of samples that are independent: of moved ones these say nothing."""
    found = point.diagnostics
    return {"ess": found.ess, "pareto_k": found.pareto_k}


def _prompts(point: PoolPoint) -> Metrics:
    """How many prompts the pool is spread over, where there are several."""
    prompts = point.objective.several
    return {} if prompts is None else {"prompts": float(len(prompts.shares))}


def _like_these(solution: PoolSolution) -> Metrics:
    """How sure F is where prompts like these are drawn, in place of these themselves."""
    exact = solution.point.exact
    if solution.point.objective.several is None or not isinstance(exact, EstimateOverPrompts):
        return {}
    return {f"upper_loss_se{LIKE_THESE}": exact.value_se_of_prompts}


def _of_variables(solution: PoolSolution) -> Metrics:
    """What is known of each variable; nan where its pool can be believed nowhere."""
    if isinstance(solution, GroupedSolution):
        return {k: v for part in solution.parts.values() for k, v in _of_variables(part).items()}
    numbers = _derivatives(solution)
    return numbers if solution.believed else dict.fromkeys(numbers, math.nan)


def evaluated_row(point: PoolPoint) -> Metrics:
    """Metrics of an evaluation at fixed values, which no gate guards."""
    value, error = point.score
    return {
        **_config(point),
        "upper_loss": value,
        "upper_loss_se": error,
        "ess": point.diagnostics.ess,
        "pool_size": float(point.objective.pool.n),
    }


def unknown_row(variables: Sequence[Variable], x: np.ndarray, size: int) -> Metrics:
    """Metrics at `x` (d,) where a pool of so many samples says nothing."""
    named = zip(variables, x, strict=True)
    config = {f"config/{v.name}": float(a) for v, a in named}
    nothing = dict.fromkeys(("upper_loss", "upper_loss_se", "ess", "pareto_k"), math.nan)
    return {**config, **nothing, "pool_size": float(size)}


def _config(point: PoolPoint) -> Metrics:
    named = zip(point.objective.variables, point.x, strict=True)
    return {f"config/{v.name}": float(x) for v, x in named}


def _losses(solution: PoolSolution, held_out: np.ndarray | None) -> Metrics:
    """F, the lower loss, L_gamma and the minimiser of F beside its own, and the held-out reward.

    With a target F is how far it is, and `target` what is reached.
    """
    point = solution.point
    value, error = point.score
    losses = {"upper_loss": value, "upper_loss_se": error, "lower_loss": point.lower_loss}
    if isinstance(point.objective, TargetObjective):
        losses |= {"target": point.estimate.value, "target_se": point.estimate.value_se}
    else:
        losses["upper_loss_of_p0"] = -point.mean_of_p0(point.objective.pool.upper)
    if solution.unpenalised is not None:
        losses["penalised_loss"] = point.estimate.value
        named = zip(point.objective.variables, solution.unpenalised, strict=True)
        losses |= {f"unpenalised/{v.name}": float(x) for v, x in named}
    if held_out is not None:
        losses["held_out"], losses["held_out_se"] = point.mean(held_out)
        losses["held_out_of_p0"] = point.mean_of_p0(held_out)
    return losses


def _derivatives(solution: PoolSolution) -> Metrics:
    """Each variable's gradient, its standard error, and the interval of the optimum."""
    e, objective = solution.point.estimate, solution.point.objective
    found = {}
    for v, column, low, high in zip(
        objective.variables, objective.columns, *solution.bounds, strict=True
    ):
        found[f"gradient/{v.name}"] = float(e.gradient[column])
        found[f"gradient_se/{v.name}"] = float(e.gradient_se[column])
        found[f"interval_low/{v.name}"] = float(low)
        found[f"interval_high/{v.name}"] = float(high)
    if objective.several is not None:
        for v, low, high in zip(objective.variables, *solution.bounds_of_prompts, strict=True):
            found[f"interval_low{LIKE_THESE}/{v.name}"] = float(low)
            found[f"interval_high{LIKE_THESE}/{v.name}"] = float(high)
    return found
