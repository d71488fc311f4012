"""What an estimator of the reward problem must pass, as numbers over replicated pools.

`jobs/bench/oracles.py` prints them; `tests/upper/test_oracles.py` asserts them. To try another
estimator, hand it in: it takes (pool, lambda, weights, gamma) and answers with an `Estimate`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.convergence import StopReason, stop_reason
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_solution import PoolSolution
from raybilevel.problems.reward.pool_solver import PoolSolver
from raybilevel.testing.oracle import Oracle
from raybilevel.upper.diagnostics import examine
from raybilevel.upper.penalty import Estimate, Pool, estimate

_Z95 = 1.959964

Estimator = Callable[[Pool, float, np.ndarray, float], Estimate]


@dataclass(frozen=True)
class GradientCheck:
    """One entry of the gradient at one point, over replicated pools.

    Attributes
    ----------
    truth : the entry.
    bias_z : mean error over its own standard error, all replicates; within 3 but for chance.
    rmse : root mean squared error, all replicates.
    sign_right : whether the mean has the truth's sign.
    passed : share of replicates that every gate let through.
    se_ratio : stated standard error over actual spread where the gates pass; within 0.8 to 1.2.
    coverage : of the 95 % interval where the gates pass; 0.90 to 0.99.
    """

    oracle: str
    x: tuple[float, ...]
    gamma: float
    column: int
    truth: float
    bias_z: float
    rmse: float
    sign_right: bool
    passed: float
    se_ratio: float
    coverage: float


@dataclass(frozen=True)
class OptimumCheck:
    """One tuned variable, over replicated pools.

    Attributes
    ----------
    truth : the exact minimiser, in scaled coordinates, of L_gamma.
    reasons : how the replicates ended.
    coverage : of the 95 % interval, where converged; 0.90 to 0.99.
    bias_z : mean error over its own standard error, where converged.
    se_ratio : stated standard error over actual spread, where converged.
    """

    oracle: str
    name: str
    gamma: float
    truth: float
    reasons: Counter[str]
    coverage: float
    bias_z: float
    se_ratio: float

    @property
    def converged(self) -> float:
        """Share of replicates that ended `converged`."""
        return self.reasons[StopReason.CONVERGED.name] / self.reasons.total()


def check_gradients(
    oracle: Oracle,
    x: np.ndarray,
    gamma: float,
    n: int,
    seeds: Sequence[int],
    *,
    estimator: Estimator = estimate,
) -> list[GradientCheck]:
    """Compare every entry of the gradient at `x` with the truth, on a pool of n for each seed.

    With one lower reward its weight says what lambda says, so only lambda's entry is returned.
    """
    found = [
        estimator(oracle.draw(np.random.default_rng(seed), n), float(x[0]), x[1:], gamma)
        for seed in seeds
    ]
    columns = range(len(x)) if len(x) > 2 else (0,)
    return [_gradient_check(oracle, x, gamma, found, column) for column in columns]


def _gradient_check(
    oracle: Oracle, x: np.ndarray, gamma: float, found: Sequence[Estimate], column: int
) -> GradientCheck:
    truth = float(oracle.gradient(x, gamma)[column])
    errors = np.array([e.gradient[column] for e in found]) - truth
    se = np.array([e.gradient_se[column] for e in found])
    ok = np.array([examine(e, [column]).ok for e in found])
    return GradientCheck(
        oracle=oracle.name,
        x=tuple(float(a) for a in x),
        gamma=gamma,
        column=column,
        truth=truth,
        bias_z=_bias_z(errors),
        rmse=float(np.sqrt(np.mean(errors**2))),
        sign_right=bool(np.sign(truth + errors.mean()) == np.sign(truth)),
        passed=float(ok.mean()),
        se_ratio=_se_ratio(se[ok], errors[ok]),
        coverage=float(np.mean(np.abs(errors[ok]) < _Z95 * se[ok])) if ok.any() else math.nan,
    )


def check_optimum(
    oracle: Oracle, tuned: str, gamma: float, n: int, seeds: Sequence[int]
) -> list[OptimumCheck]:
    """Minimise over `tuned` ("lambda" or "weights") as the reward problem does, for each seed."""
    if tuned == "lambda":
        coefficients = Coefficients((oracle.lambda_, *oracle.base[1:]))
        truth = np.log([oracle.best_lambda(gamma)])
    else:
        coefficients = Coefficients((oracle.base[0], *oracle.weights))
        truth = oracle.best_weights(gamma)
    pools = (oracle.draw(np.random.default_rng(seed), n) for seed in seeds)
    found = [PoolSolver(PoolObjective(pool, coefficients, gamma)).solve() for pool in pools]
    names = [v.name for v in coefficients.variables]
    return [
        _optimum_check(found, i, oracle=oracle.name, name=name, gamma=gamma, truth=float(truth[i]))
        for i, name in enumerate(names)
    ]


def _optimum_check(
    found: Sequence[PoolSolution], i: int, *, oracle: str, name: str, gamma: float, truth: float
) -> OptimumCheck:
    reasons = [stop_reason(f) for f in found]
    given = [
        f.interval
        for f, reason in zip(found, reasons, strict=True)
        if reason is StopReason.CONVERGED and f.interval is not None
    ]
    low, high, se = (np.array([getattr(g, a)[i] for g in given]) for a in ("low", "high", "se"))
    errors = (low + high) / 2 - truth
    return OptimumCheck(
        oracle=oracle,
        name=name,
        gamma=gamma,
        truth=truth,
        reasons=Counter(reason.name for reason in reasons),
        coverage=float(np.mean((low <= truth) & (truth <= high))) if given else math.nan,
        bias_z=_bias_z(errors),
        se_ratio=_se_ratio(se, errors),
    )


def slope(oracle: Oracle, x: np.ndarray, gamma: float, seeds: Sequence[int]) -> list[float]:
    """Slopes of log RMSE against log n, n from 1,000 to 64,000, for every entry: -0.5 +- 0.1."""
    sizes = 1000 * 4 ** np.arange(4)
    checks = [check_gradients(oracle, x, gamma, int(n), seeds) for n in sizes]
    return [
        float(np.polyfit(np.log(sizes), np.log([c.rmse for c in entry]), 1)[0])
        for entry in zip(*checks, strict=True)
    ]


def _bias_z(errors: np.ndarray) -> float:
    if errors.size < 2:
        return math.nan
    return float(errors.mean() / (errors.std(ddof=1) / math.sqrt(errors.size)))


def _se_ratio(se: np.ndarray, errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(se**2)) / errors.std(ddof=1)) if errors.size > 1 else math.nan
