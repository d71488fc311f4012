"""Print how estimates over prompts do where the answers are known.

    python jobs/bench/prompts.py [fixed | optima | targets ...]

Without an argument: all. 400 replicates a place, of prompts drawn anew; on one core ten minutes.
The gates were chosen on other seeds; these were looked at once, afterwards.

fixed: F and dF/dlambda at lambda from a half to four spreads of the reward.
optima: lambda* by the search of a run, for three kinds of upper reward.
targets: the lambda of a KL, or of a reward's mean, over 50 prompts.
Coverage is of 95 % intervals, for these prompts and for prompts like these, where the gates pass.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from parts import run_parts
from scipy.special import stdtrit

from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.convergence import StopReason, stop_reason
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_solver import PoolSolver
from raybilevel.problems.reward.targets.objective import TargetObjective
from raybilevel.problems.reward.targets.solver import TargetSolver
from raybilevel.problems.reward.targets.target import Target
from raybilevel.testing.prompted_oracles import PROMPTED_ORACLES, PromptedOracle
from raybilevel.upper.crossing import walk_to
from raybilevel.upper.derivatives_within import estimate_within
from raybilevel.upper.diagnostics import examine
from raybilevel.upper.interval import carriers
from raybilevel.upper.penalty import Pool
from raybilevel.upper.variables import Variable

SEEDS = range(7000, 7400)
LAMBDAS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
SIZES = (16, 32, 64)
KINDS = ((50, False), (50, True), (10, False))  # prompts, and whether their weights differ
FEWEST = 0.25  # of replicates that pass, for a place to be counted


def fixed() -> None:
    print(
        "prompts weights upper      each lambda passed | F: bias before, after; covered these, like"
    )
    print("                                              | dF/dlambda: the same")
    missed = []
    for count, weighted in KINDS:
        for oracle in PROMPTED_ORACLES:
            for each in SIZES:
                for lambda_ in LAMBDAS:
                    rows = [_at(oracle, count, weighted, each, lambda_, s) for s in SEEDS]
                    missed += _print(oracle, count, weighted, each, lambda_, np.array(rows))
    counted = len(missed)
    print(f"places where {FEWEST:.0%} pass: {counted // 2}; of their coverages for these prompts")
    print(f"outside 90 to 99 %: {sum(missed)} of {counted}")


def _at(
    oracle: PromptedOracle, count: int, weighted: bool, each: int, lambda_: float, seed: int
) -> list[float]:
    """Whether the gates pass; errors before and after, and whether both intervals hold, twice."""
    rng = np.random.default_rng([seed, count, each, weighted])
    chosen = oracle.chosen(rng, count, weighted=weighted)
    e = estimate_within(*chosen.draw(rng, each), lambda_, np.ones(1))
    df = (carriers(e.gradient_influence)[0] - 1) / 2
    row = [float(examine(e, [0]).ok)]
    for found, correction, se, quantile, own, truth, like in (
        (e.value, e.value_correction, e.value_se, 1.96, e.value_influence_of_prompts,
         chosen.value(lambda_), oracle.value(lambda_)),
        (e.gradient[0], e.gradient_correction[0], e.gradient_se[0], float(stdtrit(df, 0.975)),
         e.gradient_influence_of_prompts[:, 0], chosen.gradient(lambda_),
         oracle.gradient(lambda_)),
    ):  # fmt: skip
        margin = float(stdtrit(count - 1, 0.975)) * math.sqrt(float(np.sum(own**2))) / count
        row += [
            found - correction - truth, found - truth,
            abs(found - truth) < quantile * se, abs(found - like) < margin,
        ]  # fmt: skip
    return row


def _print(
    oracle: PromptedOracle, count: int, weighted: bool, each: int, lambda_: float, rows: np.ndarray
) -> list[bool]:
    passed = rows[:, 0] == 1
    share = float(passed.mean())
    texts = []
    for numbers in (rows[:, 1:5], rows[:, 5:9]):
        before, after = (float(e.mean() / e.std()) for e in numbers[:, :2].T)
        hit = [float(h[passed].mean()) if passed.any() else math.nan for h in numbers[:, 2:].T]
        texts.append((f"{before:+.2f} {after:+.2f} {hit[0]:.3f} {hit[1]:.3f}", hit[0]))
    place = f"{_place(oracle, count, weighted, each)} {lambda_:5.1f}"
    print(f"{place}  {share:6.1%}  | {texts[0][0]} | {texts[1][0]}", flush=True)
    return [not 0.90 <= hit <= 0.99 for _, hit in texts] if share >= FEWEST else []


def _place(oracle: PromptedOracle, count: int, weighted: bool, each: int) -> str:
    return f"{count:4d} {'vary' if weighted else 'equal':>8s}   {oracle.name:10s} {each:3d}"


def optima() -> None:
    """The optimum of both curved upper rewards; a linear one has none inside."""
    print(
        "prompts weights upper      each lambda*  converged | covered these, like | why others end"
    )
    for count, weighted in KINDS:
        for oracle in PROMPTED_ORACLES[1:]:
            for each in (*SIZES, 128):
                ends = [_optimum(oracle, count, weighted, each, seed) for seed in SEEDS]
                told = np.array([e[1:] for e in ends if e[0] is StopReason.CONVERGED])
                others = Counter(e[0].name for e in ends if e[0] is not StopReason.CONVERGED)
                covered = [_mean(hits[~np.isnan(hits)]) for hits in told.reshape(-1, 2).T]
                place = _place(oracle, count, weighted, each)
                print(
                    f"{place} {oracle.best_lambda():6.2f}    {len(told) / len(ends):6.1%}"
                    f"   | {covered[0]:.3f} {covered[1]:.3f}        | {dict(others)}",
                    flush=True,
                )


def _mean(hits: np.ndarray) -> float:
    return float(hits.mean()) if hits.size else math.nan


def _optimum(
    oracle: PromptedOracle, count: int, weighted: bool, each: int, seed: int
) -> tuple[StopReason, float, float]:
    """How the search ended, and whether each interval holds what it is for; nan where unknown."""
    rng = np.random.default_rng([seed, count, each, weighted])
    chosen = oracle.chosen(rng, count, weighted=weighted)
    pool, prompts = chosen.draw(rng, each)
    coefficients = Coefficients((Variable("lambda", 3.0, 0.2, 30.0, "log"), 1.0))
    found = PoolSolver(PoolObjective(pool, coefficients, prompts=prompts)).solve()
    hits = []
    for (low, high), truth in (
        (found.bounds, chosen.best_lambda(0.01, 1000.0)),
        (found.bounds_of_prompts, oracle.best_lambda()),
    ):
        hits.append(float(low[0] <= truth <= high[0]) if low[0] < high[0] else math.nan)
    return stop_reason(found), hits[0], hits[1]


def targets() -> None:
    """Two KLs, and the reward at a lambda of the whole population: on its way up, and down."""
    print("upper      each target                 reached | covered these, like | why others end")
    for oracle, each, target, high in _aims():
        ends = [_reached(oracle, each, target, high, seed) for seed in SEEDS]
        told = np.array([e[1:] for e in ends if e[0] is StopReason.CONVERGED])
        others = Counter(e[0].name for e in ends if e[0] is not StopReason.CONVERGED)
        covered = [_mean(hits[~np.isnan(hits)]) for hits in told.reshape(-1, 2).T]
        said = f"{target.named} {target.value:.4f}"
        print(
            f"{oracle.name:10s} {each:4d} {said:24s} {len(told) / len(ends):6.1%} | "
            f"{covered[0]:.3f} {covered[1]:.3f}         | {dict(others)}",
            flush=True,
        )


def _aims() -> Iterator[tuple[PromptedOracle, int, Target, float]]:
    """What is aimed at, by which oracle of equal levels, and the high bound of lambda."""
    linear, quadratic, saturating = (replace(o, level=0 * o.level) for o in PROMPTED_ORACLES)
    for kl in (0.1, 0.3):
        for each in (64, 128):
            yield linear, each, Target(kl=kl), 20.0
    for oracle, each, lambda_, high in (
        (linear, 64, 3.0, 20.0), (quadratic, 64, 4.0, 20.0),
        (quadratic, 256, 1.2, 1.8), (saturating, 256, 1.2, 1.8),
    ):  # fmt: skip
        yield oracle, each, Target(reward="held_out", at_least=-oracle.value(lambda_)), high


def _reached(
    oracle: PromptedOracle, each: int, target: Target, high: float, seed: int
) -> tuple[StopReason, float, float]:
    """As `_optimum`, for the lambda of a target."""
    rng = np.random.default_rng([seed, each, round(1000 * target.value) % 1000])
    chosen = oracle.chosen(rng, 50)
    drawn, prompts = chosen.draw(rng, each)
    pool = Pool(-drawn.upper, drawn.lower)
    coefficients = Coefficients((Variable("lambda", 1.5, 0.5, high, "log"), 1.0))
    found = TargetSolver(
        TargetObjective(pool, coefficients, prompts=prompts, target=target)
    ).solve()
    ends, known = (found.bounds, found.bounds_of_prompts), (chosen, oracle)
    hits = [
        float(low[0] <= _known(of, target, high) <= top[0]) if low[0] < top[0] else math.nan
        for (low, top), of in zip(ends, known, strict=True)
    ]
    return stop_reason(found), hits[0], hits[1]


def _known(oracle: PromptedOracle, target: Target, high: float) -> float:
    """The lambda at which an oracle has a target first, from the high bound; nan for none."""

    def value(z: float) -> tuple[float, bool]:
        at = math.exp(z)
        return (oracle.kl(at) if target.kl is not None else -oracle.value(at)), True

    way = walk_to(target.value, value, math.log(high), math.log(0.05))
    return math.exp(way.root()) if way.crossed else math.nan


if __name__ == "__main__":
    run_parts(__doc__, fixed, optima, targets)
