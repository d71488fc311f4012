"""What a sweep would have cost on the demo's problem, on paper.

    python jobs/bench/sweep.py [--seeds 5] [--reference 16384]

Draws one large pool as the reference for F and lambda*, and smaller pools with other seeds. Prints
the network evaluations at which the optimum found has a regret of at most 1 % of
F(init) - F(lambda*), and what a 30-point sweep needs for it with a pool per point and with one.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from dataclasses import dataclass

import numpy as np

from raybilevel import BilevelTuner, RunConfig, ScalingConfig
from raybilevel.cli.demo import reward_demo
from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_solver import PoolSolver
from raybilevel.problems.reward.problem import RewardTuning
from raybilevel.runtime.ray_session import ray_session

_POINTS = 30
_TOLERANCE = 0.01
_STEP = 128  # samples between two looks


def draw(problem: RewardTuning, seed: int) -> Arrays:
    """A pool of the problem's size."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunConfig(name="pool", storage_path=folder, seed=seed)
        tuner = BilevelTuner(problem, ScalingConfig(num_workers=2), run, watch=lambda p: None)
        return tuner.fit().state


def first(state: Arrays, n: int) -> Arrays:
    """The pool's first `n` samples."""
    return {k: v[:n] if k.startswith("pool/") else v for k, v in state.items()}


@dataclass(frozen=True)
class Reference:
    """F as the large pool gives it."""

    objective: PoolObjective
    init: float
    best: float

    @property
    def scale(self) -> float:
        """F(init) - F(lambda*)."""
        return self.loss(self.init) - self.loss(self.best)

    def loss(self, lambda_: float) -> float:
        """F(lambda)."""
        return self.objective.estimate(np.array([lambda_])).value

    def regret(self, lambda_: float) -> float:
        """(F(lambda) - F(lambda*)) / (F(init) - F(lambda*))."""
        return (self.loss(lambda_) - self.loss(self.best)) / self.scale


def samples_to_tolerance(problem: RewardTuning, state: Arrays, reference: Reference) -> float:
    """Samples from which on every optimum found has a small regret; nan where there are none."""
    sizes = range(_STEP, len(state["pool/seed"]) + 1, _STEP)
    good = math.nan
    for n in reversed(sizes):
        found = PoolSolver(problem.objective(first(state, n))).solve()
        if not found.believed or reference.regret(float(found.x[0])) > _TOLERANCE:
            break
        good = n
    return good


def grid_samples(problem: RewardTuning, state: Arrays, reference: Reference) -> float:
    """The same for the best of a grid on a shared pool, with no gates."""
    (variable,) = problem.variables
    grid = np.geomspace(variable.low, variable.high, _POINTS)
    good = math.nan
    for n in range(len(state["pool/seed"]) // _STEP * _STEP, 0, -_STEP):
        f = problem.landscape(first(state, n))
        best = min(grid, key=lambda x: f(np.array([x])))
        if reference.regret(float(best)) > _TOLERANCE:
            break
        good = n
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--reference", type=int, default=16384)
    arguments = parser.parse_args()
    demo = reward_demo()
    big = demo.model_copy(update={"pool_size": arguments.reference})
    small = demo.model_copy(update={"pool_size": 2048, "max_pool_size": 2048})
    with ray_session():
        objective = big.objective(draw(big, 1000))
        found = PoolSolver(objective).solve()
        reference = Reference(objective, demo.variables[0].init, float(found.x[0]))
        pools = [draw(small, seed) for seed in range(arguments.seeds)]
    nfe = demo.source.nfe_per_sample
    print(f"reference: lambda* {reference.best:.3f}, F(init) - F(lambda*) {reference.scale:.4f}")
    ours = [nfe * samples_to_tolerance(small, pool, reference) for pool in pools]
    shared = [nfe * grid_samples(small, pool, reference) for pool in pools]
    evaluations = PoolSolver(small.objective(pools[0])).solve().evaluations
    print(f"ours, NFE to a regret of 1 %: {_spread(ours)}; {evaluations} upper evaluations")
    print(f"{_POINTS}-point grid on one shared pool: {_spread(shared)}; {_POINTS} evaluations")
    each = [_POINTS * n for n in shared]
    print(f"{_POINTS}-point grid, a pool of that size per point: {_spread(each)}")


def _spread(values: list[float]) -> str:
    told = [v for v in values if not math.isnan(v)]
    never = (
        f", never in {len(values) - len(told)} of {len(values)}" if len(told) < len(values) else ""
    )
    if not told:
        return f"never in {len(values)}"
    return f"median {statistics.median(told):,.0f} ({min(told):,.0f} to {max(told):,.0f}){never}"


if __name__ == "__main__":
    main()
