"""Print how the pool's estimator does on problems whose answers are known.

    python jobs/bench/oracles.py [gradients | optima | rate | speed ...]

Without an argument: all. Each part takes less than four minutes on one core. The gates were chosen
on seeds 0 to 199 (and on four other problems); the seeds here were looked at once, afterwards.
"""

from __future__ import annotations

import math
import resource
import time
import tracemalloc

import numpy as np
from parts import run_parts

from raybilevel.testing.conformance import GradientCheck, check_gradients, check_optimum, slope
from raybilevel.testing.oracles import ORACLES
from raybilevel.upper.diagnostics import examine
from raybilevel.upper.penalty import Pool, estimate

GAMMAS = (math.inf, 20.0)
SEEDS = range(1000, 1200)
FEWEST = 60  # passing pools that can tell 90 % from 95 %


def gradients(n: int = 4096) -> None:
    print(f"n = {n}, {len(SEEDS)} replicates")
    print(
        "oracle                x               gamma entry    truth  bias z sign passed SE/spread "
        "coverage"
    )
    checks = []
    for oracle in ORACLES:
        for x in oracle.points:
            for gamma in GAMMAS:
                checks += check_gradients(oracle, x, gamma, n, SEEDS)
    for c in checks:
        entry = "lambda" if c.column == 0 else f"w{c.column}"
        print(
            f"{c.oracle:20s}  {c.x!s:16s} {c.gamma:4.0f} {entry:6s} {c.truth:+.4f}   "
            f"{c.bias_z:+5.2f} {'ok' if c.sign_right else 'NO':4s} {c.passed:5.0%}    "
            f"{c.se_ratio:.2f}     {c.coverage:.3f}"
        )
    _sum_up(checks)
    _refusals(n)


def _sum_up(checks: list[GradientCheck]) -> None:
    beyond = sum(abs(c.bias_z) > 3 for c in checks)
    shown = [c for c in checks if c.passed * len(SEEDS) >= FEWEST]
    off = sum(not 0.8 <= c.se_ratio <= 1.2 for c in shown)
    print(f"beyond 3 standard errors: {beyond} of {len(checks)}")
    print(f"by chance, were they independent: {0.0027 * len(checks):.1f}")
    print(f"wrong sign: {sum(not c.sign_right for c in checks)} of {len(checks)}")
    missed = sum(not 0.90 <= c.coverage <= 0.99 for c in shown)
    print(f"where {FEWEST} pools pass: SE off by over 20 %: {off} of {len(shown)}")
    print(f"where {FEWEST} pools pass: coverage not 90 to 99 %: {missed} of {len(shown)}")


def _refusals(n: int) -> None:
    for oracle in ORACLES:
        for x in oracle.sick:
            for gamma in GAMMAS:
                pools = (oracle.draw(np.random.default_rng(seed), n) for seed in SEEDS)
                ok = [examine(estimate(pool, x[0], x[1:], gamma), [0]).ok for pool in pools]
                print(
                    f"sick: {oracle.name:20s} {x} gamma {gamma:3.0f} refused {1 - np.mean(ok):.0%}"
                )


def optima(n: int = 8192) -> None:
    print(f"n = {n}; optima and their errors in scaled coordinates")
    print("oracle                variable gamma truth  converged coverage bias z SE/spread")
    for oracle in ORACLES:
        seeds = SEEDS[: _replicates(oracle.name)]
        for tuned in ("lambda", "weights") if oracle.weights else ("lambda",):
            for gamma in GAMMAS:
                for c in check_optimum(oracle, tuned, gamma, n, seeds):
                    print(
                        f"{c.oracle:20s}  {c.name:8s} {c.gamma:4.0f} {c.truth:+.3f}    "
                        f"{c.converged:5.1%}    {c.coverage:.3f}   {c.bias_z:+.2f}    "
                        f"{c.se_ratio:.2f}   {dict(c.reasons)}",
                        flush=True,
                    )


def _replicates(name: str) -> int:
    return 20 if name in ("heavy", "exponential price", "cubic") else 100  # none, slowly


def rate() -> None:
    for oracle in ORACLES:
        for gamma in GAMMAS:
            x = oracle.points[0]
            slopes = ", ".join(f"{s:+.3f}" for s in slope(oracle, x, gamma, range(1000, 1100)))
            print(
                f"{oracle.name:20s} {x} gamma {gamma:3.0f}: slopes of log RMSE in log n: {slopes}"
            )


def speed(n: int = 1_000_000) -> None:
    """Time and memory of one upper-level step: value, gradient and gates."""
    rng = np.random.default_rng(0)
    for k in (1, 3):
        u = rng.standard_normal((n, k))
        pool, columns = Pool(-((u.sum(axis=1) - 1) ** 2), u), [0] if k == 1 else [1, 2, 3]
        for gamma in GAMMAS:
            seconds = min(_step(pool, columns, gamma) for _ in range(5))
            tracemalloc.start()
            _step(pool, columns, gamma)
            peak = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
            rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            print(
                f"n = {n:,}, K = {k}, gamma {gamma:3.0f}: {seconds:.3f} s, {peak:.0f} MB beside "
                f"the pool, {rss:.0f} MB resident"
            )


def _step(pool: Pool, columns: list[int], gamma: float) -> float:
    started = time.perf_counter()
    examine(estimate(pool, 2.0, np.ones(pool.lower.shape[1]) / 3, gamma), columns)
    return time.perf_counter() - started


if __name__ == "__main__":
    run_parts(__doc__, gradients, optima, rate, speed)
