"""The reward problem's row of the history."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from raybilevel.problems.reward.pool_solver import Found, Solver
from raybilevel.upper.tilting import Tilted
from raybilevel.upper.variables import Variable

Metrics = dict[str, float]


def row(
    variables: Sequence[Variable],
    columns: Sequence[int],
    solver: Solver,
    found: Found,
    held_out: np.ndarray | None,
) -> Metrics:
    """Metrics of one pool; nan for what it cannot say.

    Parameters
    ----------
    columns : (d,) what each variable is among (lambda, w_1, ..., w_K).
    held_out : (n,) rewards that are never optimised.
    """
    metrics = {f"config/{v.name}": float(x) for v, x in zip(variables, found.x, strict=True)}
    metrics |= _losses(solver, found, held_out)
    for i, (v, column) in enumerate(zip(variables, columns, strict=True)):
        metrics[f"gradient/{v.name}"] = float(found.estimate.gradient[column])
        metrics[f"gradient_se/{v.name}"] = float(found.estimate.gradient_se[column])
        low, high = _interval(solver, found, i)
        metrics[f"interval_low/{v.name}"], metrics[f"interval_high/{v.name}"] = low, high
    if found.outcome is None:  # the pool can be believed nowhere: no number at all
        metrics |= {name: math.nan for name in metrics if not name.startswith("config/")}
    health = found.health
    return metrics | {
        "ess": health.ess,
        "pareto_k": health.pareto_k,
        "kl": health.kl,
        "pool_size": float(solver.pool.n),
        "upper_evaluations": float(found.evaluations),
    }


def evaluated_row(variables: Sequence[Variable], solver: Solver, x: np.ndarray) -> Metrics:
    """Metrics of a pool at fixed values x (d,), which no gate guards."""
    exact = solver.exact(x)
    return {
        **{f"config/{v.name}": float(value) for v, value in zip(variables, x, strict=True)},
        "upper_loss": exact.value,
        "upper_loss_se": exact.value_se,
        "ess": solver.examine(x).ess,
        "pool_size": float(solver.pool.n),
    }


def _interval(solver: Solver, found: Found, i: int) -> tuple[float, float]:
    if found.interval is None:
        return math.nan, math.nan
    low, high = solver.values_of(found.interval)
    return float(low[i]), float(high[i])


def _losses(solver: Solver, found: Found, held_out: np.ndarray | None) -> Metrics:
    """F, the lower loss -E[r2] + lambda KL, and the held-out reward, all under p_x."""
    exact = solver.exact(found.x)
    (p,) = exact.tilts
    losses = {
        "upper_loss": exact.value,
        "upper_loss_se": exact.value_se,
        "lower_loss": -solver.lambda_(found.x) * p.log_z,
    }
    if not math.isinf(solver.gamma):
        losses |= {"penalised_loss": found.estimate.value, **_unpenalised(solver)}
    if held_out is not None:
        losses["held_out"], losses["held_out_se"] = _mean_and_se(p, held_out)
    return losses


def _unpenalised(solver: Solver) -> Metrics:
    """Where F itself is least: at finite gamma the penalty moves the optimum."""
    free = solver.at_gamma(math.inf)
    found = free.solve()
    return {
        f"unpenalised/{v.name}": float(x) if found.outcome else math.nan
        for v, x in zip(solver.variables, found.x, strict=True)
    }


def _mean_and_se(p: Tilted, h: np.ndarray) -> tuple[float, float]:
    mean = float(p.mean(h))
    return mean, float(np.sqrt(np.sum((p.weights * (h - mean)) ** 2)))
