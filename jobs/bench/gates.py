"""Print what the gates rest on: whether intervals that pass them cover, and how a pool gets there.

    python jobs/bench/gates.py [calibration | growth ...]

Without an argument: both. Each takes less than four minutes on one core. The gates were chosen on
seeds 0 to 199; the seeds here were looked at once, afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from parts import run_parts

from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.convergence import StopReason, solve_round, stop_reason
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_plan import PoolPlan
from raybilevel.testing.oracle import Oracle
from raybilevel.testing.oracles import ORACLES
from raybilevel.upper.diagnostics import examine
from raybilevel.upper.gates import Gates
from raybilevel.upper.penalty import Pool, estimate

GAMMAS = (math.inf, 20.0)
SEEDS = range(1000, 1200)
FEWEST = 60  # passing pools that can tell 90 % from 95 %
PLAN = PoolPlan.of(size=4096, limit=65_536, round_size=4096, shard_size=64)
OPEN = Gates(min_ess=0, max_pareto_k=math.inf, max_share=math.inf, samples_per_exp_kl=0)
_REPLICATES = {"heavy": 20, "exponential price": 60, "cubic": 60}  # rarely believed, slowly


def calibration(n: int = 4096) -> None:
    """Coverage of 95 % intervals of gradients against what the gates see, size gates passing."""
    cells = list(_cells(n))
    z, carriers, k = np.concatenate(cells).T
    print(f"n = {n}: pools and coverage; rows k-hat, columns samples that carry the variance")
    edges = (0, 5, 10, 20, 30, 50, 100, math.inf)
    print(" " * 16 + "".join(f"{low:>6} to {high:<5}" for low, high in pairwise(edges)))
    for k_low, k_high in pairwise((-99, 0.3, 0.5, 0.7, 0.9, 99)):
        inside = (k >= k_low) & (k < k_high) | (np.isnan(k) if k_low == -99 else False)
        columns = [
            z[inside & (carriers >= low) & (carriers < high)] for low, high in pairwise(edges)
        ]
        print(f"k {k_low:5.1f} to {k_high:4.1f} " + "  ".join(map(_covered, columns)))
    passing = [c[_ok(c), 0] for c in cells]
    told = [np.mean(np.abs(z) < 1.96) for z in passing if z.size >= FEWEST]
    few = np.concatenate([z for z in passing if z.size < FEWEST])
    outside = [round(float(c), 3) for c in told if not 0.90 <= c <= 0.99]
    print(f"cells where {FEWEST} of {len(SEEDS)} pools pass: {len(told)}, mean {np.mean(told):.3f}")
    print(f"of them outside 0.90 to 0.99: {outside}")
    print(f"pools that pass in other cells, and their coverage: {_covered(few)}")


def _ok(cell: np.ndarray) -> np.ndarray:
    gates = Gates()
    return (cell[:, 1] >= 1 / gates.max_share) & ~(cell[:, 2] > gates.max_pareto_k)


def _covered(z: np.ndarray) -> str:
    return f"{z.size:6d} {np.mean(np.abs(z) < 1.96):.3f}" if z.size >= 25 else " " * 12


def _cells(n: int) -> Iterator[np.ndarray]:
    """Per problem, lambda, gamma and entry: rows (error / SE, carriers, k-hat), a pool each."""
    for oracle in ORACLES:
        lowest = {"heavy": 1.5, "gaussian, quadratic": 0.1}.get(oracle.name, 0.7)
        for lambda_ in np.geomspace(lowest, 6.0, 6):
            x = np.append(lambda_, oracle.base[1:])
            for gamma in GAMMAS:
                pools = (oracle.draw(np.random.default_rng(seed), n) for seed in SEEDS)
                found = [estimate(pool, x[0], x[1:], gamma) for pool in pools]
                for column in range(len(x)) if len(x) > 2 else (0,):
                    truth = oracle.gradient(x, gamma)[column]
                    seen = ((e, examine(e, [column], OPEN)) for e in found)
                    rows = [
                        (
                            (e.gradient[column] - truth) / e.gradient_se[column],
                            1 / h.share,
                            h.pareto_k,
                        )
                        for e, h in seen
                        if h.ess >= 400 and n >= 10 * math.exp(h.kl)
                    ]
                    yield np.array(rows).reshape(-1, 3)


def growth() -> None:
    """Intervals of lambda* where a pool grows as a run's does, from 4,096 to 65,536 samples."""
    print("oracle                believed  coverage bias z  final sizes")
    for oracle in ORACLES:
        truth, ends = math.log(oracle.best_lambda()), []
        for seed in SEEDS[: _REPLICATES.get(oracle.name, 100)]:
            ends += _grown(oracle, seed)
        n, middle, se = np.array(ends).reshape(-1, 3).T
        z = (middle - truth) / se
        bias = np.mean(z) / np.std(z) * math.sqrt(z.size) if z.size > 2 else math.nan
        sizes = dict(zip(*np.unique(n.astype(int), return_counts=True), strict=True))
        coverage = np.mean(np.abs(z) < 1.96) if z.size else math.nan
        print(
            f"{oracle.name:20s}  {z.size:4d}      {coverage:.3f}    {bias:+.2f}   "
            + ", ".join(f"{size}: {count}" for size, count in sizes.items()),
            flush=True,
        )


def _grown(oracle: Oracle, seed: int) -> list[tuple[float, float, float]]:
    pool = oracle.draw(np.random.default_rng(seed), PLAN.limit)
    coefficients = Coefficients((oracle.lambda_, *oracle.base[1:]))
    n, stop = PLAN.size, None
    while stop is None:
        objective = PoolObjective(Pool(pool.upper[:n], pool.lower[:n]), coefficients)
        found, stop = solve_round(objective, PLAN)
        n = PLAN.after(n)
    if stop_reason(found) is not StopReason.CONVERGED or found.interval is None:
        return []
    i = found.interval
    return [(float(found.n), float(i.low[0] + i.high[0]) / 2, float(i.se[0]))]


if __name__ == "__main__":
    run_parts(__doc__, calibration, growth)
