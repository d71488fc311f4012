"""Whole runs of an oracle, replicated: bias, stated errors, coverage, and the gain over p0."""

from __future__ import annotations

import math
import multiprocessing
import multiprocessing.pool
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybilevel import RewardTuning, RunConfig
from raybilevel.problems.base import Status
from raybilevel.problems.reward.pool_solver import solve
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.annealed_oracle import PricedOracle
from raybilevel.upper.kl import kl_estimate

QUANTITIES = ("F", "dF/dlambda", "KL", "log lambda*")

_FEWEST = 10  # replicates that say anything
_PROCESSES = 2


@dataclass(frozen=True)
class Replicate:
    """What one run says.

    Attributes
    ----------
    found : (4,) estimates of `QUANTITIES`, nan where none is given; errors : standard errors.
    covered : (4,) whether the interval of each holds what is true.
    """

    found: np.ndarray
    errors: np.ndarray
    covered: np.ndarray
    nfe: float


def tuning(priced: PricedOracle, estimator: str, **options: Any) -> RewardTuning:
    """The problem of an oracle, with all defaults but options."""
    oracle = priced.oracle
    return RewardTuning(
        model=oracle.model, prompts=oracle.prompts, lower_reward=priced.lower_reward,
        upper_reward=priced.upper_reward, lambda_=priced.variable, estimator=estimator,
        **oracle.drawing, **options,
    )  # fmt: skip


def replicate(
    priced: PricedOracle, estimator: str, most: int, seed: int, **options: Any
) -> Replicate:
    """Run to the optimum of an oracle, by at most so many NFE, and look at lambda*.

    Where a run ends, its samples say F, dF/dlambda and the KL at the true lambda*, if the gates let
    them, and an interval of lambda*, if it converged.
    """
    from scipy.special import stdtrit

    problem = tuning(priced, estimator, **options)
    run, rows = run_locally(problem, RunConfig(seed=seed, max_nfe=most))
    objective, best = problem.objective(run.state), priced.lambda_
    assert objective.prompts is not None, "samples were moved or guided"
    found, errors, covered = np.full(4, np.nan), np.full(4, np.nan), np.full(4, np.nan)
    point, known = objective.at(np.array([best])), priced.answers(best)
    if point.diagnostics.ok:
        strata, e = objective.strata, point.exact
        kl = kl_estimate(objective.pool, objective.prompts, best, np.ones(1), strata)
        found[:3] = e.value, e.gradient[0], kl.value
        errors[:3] = e.value_se, e.gradient_se[0], kl.value_se
        quantile = stdtrit(float(np.sum(objective.prompts.units.counts - 1)), 0.975)
        truth = np.array([known.value, known.slope, known.kl])
        covered[:3] = np.abs(found[:3] - truth) <= quantile * errors[:3]
    interval = solve(objective).interval
    if run.stop is not None and run.stop.status is Status.CONVERGED and interval is not None:
        found[3], errors[3] = math.log(run.state["x"][0]), interval.se[0]
        covered[3] = interval.low[0] <= math.log(best) <= interval.high[0]
    return Replicate(found, errors, covered, rows[-1]["nfe_total"])


def show(title: str, priced: PricedOracle, done: Sequence[Replicate], per_sample: int = 1) -> None:
    """Print what replicates say of an oracle: a line, and one for each quantity.

    Parameters
    ----------
    per_sample : NFE of a sample of p0.
    """
    known = priced.answers(priced.lambda_)
    truth = np.array([known.value, known.slope, known.kl, math.log(priced.lambda_)])
    of_p0 = (known.value_variance, known.slope_variance, math.nan, math.nan)
    nfe = float(np.mean([r.nfe for r in done]))
    print(f"{title}: lambda* {priced.lambda_:.4f}, KL {known.kl:.2f}, NFE {nfe:,.0f}")
    for i, quantity in enumerate(QUANTITIES):
        told = [r for r in done if not math.isnan(r.found[i])]
        said = f"  {quantity:12s} given {len(told) / len(done):6.1%}"
        if len(told) >= _FEWEST:
            errors = np.array([r.found[i] for r in told]) - truth[i]
            spread = np.std(errors, ddof=1)
            stated = math.sqrt(np.mean([r.errors[i] ** 2 for r in told]))
            said += f"  bias / spread {np.mean(errors) / spread:+.2f} +- {len(told) ** -0.5:.2f}"
            said += f"  stated / spread {stated / spread:.2f}"
            said += f"  coverage {np.mean([r.covered[i] for r in told]):5.1%}"
            gain = of_p0[i] * per_sample / nfe / np.mean(errors**2)
            said += "" if math.isnan(gain) else f"  gain over p0 {gain:.1f}"
        print(said, flush=True)


def processes() -> multiprocessing.pool.Pool:
    """Two, of one thread each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    return multiprocessing.get_context("spawn").Pool(_PROCESSES)
