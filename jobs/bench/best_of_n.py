"""Print what rewards come to by moved samples and by the best of n, at equal KL.

    python jobs/bench/best_of_n.py CONFIG RUN

RUN is a run of CONFIG whose samples were moved down a ladder of lambdas. The best of n samples of
p0, by the lower reward, has KL(best of n || p0) <= log n - (n - 1) / n; p_x is asked at the lambda
whose KL is as large. Both are averages over prompts, with errors by leaving out islands: those of
p0's samples, and of all. Where a gate fails, p_x says nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from scipy.optimize import brentq
from scipy.special import gammaln

from raybilevel.config_file import read
from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.annealing.rungs import counting
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.problem import RewardTuning
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.storage import RunDirectory
from raybilevel.upper.kl import kl_estimate
from raybilevel.upper.penalty import Pool

NUMBERS = (2, 4, 8, 16, 32, 64, 128, 256)
COLUMNS = ("proxy", "wanted", "held out")

Rewards = dict[str, np.ndarray]
"""Of every sample (n,), by column."""

Means = dict[str, tuple[float, float]]
"""Means and standard errors by column."""


def rewards(problem: RewardTuning, state: Arrays) -> Rewards:
    """The lower reward, the upper one and the held-out one of every sample (n,)."""
    (name,) = problem.lower_rewards
    found = (state[f"pool/lower.{name}"], state["pool/upper"], state["pool/held_out"])
    return dict(zip(COLUMNS, found, strict=True))


def best_of(n: int, proxy: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Expectation of values (N, 3) of the best of n by the proxy, drawn from N samples."""
    count, order = len(proxy), np.argsort(proxy)
    rank = np.arange(n, count + 1)
    log_mass = gammaln(rank) - gammaln(n) - gammaln(rank - n + 1)
    log_mass -= gammaln(count + 1) - gammaln(n + 1) - gammaln(count - n + 1)
    return np.asarray(np.exp(log_mass) @ values[order[n - 1 :]])


def best_of_n(n: int, state: Arrays, found: Rewards) -> Means:
    """Each reward's mean over prompts of the best of n, and its standard error."""
    values, p0 = np.column_stack(list(found.values())), state["pool/rung"] == 0
    means, variances = [], []
    for place in np.unique(state["pool/prompt"]):
        own = np.flatnonzero(p0 & (state["pool/prompt"] == place))
        islands = state["pool/island"][own]
        parts = [own, *(own[islands != island] for island in np.unique(islands))]
        whole, *without = (best_of(n, values[rows, 0], values[rows]) for rows in parts)
        means.append(whole)
        variances.append((len(without) - 1) * np.var(without, axis=0))
    errors = np.sqrt(np.mean(variances, axis=0) / len(means))
    return dict(zip(found, zip(np.mean(means, axis=0), errors, strict=True), strict=True))


def tuned(kl: float, objective: PoolObjective) -> float | None:
    """The lambda at which p_x is so far from p0; None beyond what samples say."""
    (v,) = objective.variables

    def excess(z: float) -> float:
        pool, prompts, strata = objective.pool, objective.prompts, objective.strata
        return kl_estimate(pool, prompts, math.exp(z), np.ones(1), strata).value - kl

    low, high = math.log(v.low), math.log(v.high)
    grid = np.linspace(high, low, 60)
    above = [z for z in grid if objective.at(np.array([math.exp(z)])).diagnostics.ok]
    if not above or excess(min(above)) < 0 or excess(max(above)) > 0:
        return None
    return math.exp(brentq(excess, min(above), max(above)))


def under(lambda_: float, objective: PoolObjective, found: Rewards) -> Means:
    """Each reward's mean under p_x, and its standard error."""
    means = {}
    for name, values in found.items():
        pool = Pool(values, objective.pool.lower, objective.pool.log_base)
        told = replace(objective, pool=pool).estimate(np.array([lambda_]))
        means[name] = -told.value, told.value_se
    return means


def line(means: Means) -> str:
    """Each reward with its error."""
    return "  ".join(f"{name} {mean:+.3f} +- {se:.3f}" for name, (mean, se) in means.items())


def main(
    config: Annotated[Path, typer.Argument(help="The configuration.")],
    run: Annotated[Path, typer.Argument(help="The run's directory.")],
) -> None:
    """Read a run, and print."""
    problem = read(config).problem
    checkpoint = Checkpoints(RunDirectory.at(str(run))).read()
    assert isinstance(problem, RewardTuning) and checkpoint is not None, "a run of the config"
    state = counting(checkpoint.state)
    found, objective = rewards(problem, state), problem.objective(state)
    (v,) = objective.variables
    print(f"p0            {line(under(1e6 * v.high, objective, found))}")
    for n in NUMBERS:
        kl = math.log(n) - (n - 1) / n
        print(f"best of {n:<4d}  {line(best_of_n(n, state, found))}  KL at most {kl:.2f}")
        lambda_ = tuned(kl, objective)
        if lambda_ is not None:
            moved = line(under(lambda_, objective, found))
            print(f"p_x           {moved}  KL {kl:.2f}, lambda {lambda_:.3f}")


if __name__ == "__main__":
    typer.run(main)
