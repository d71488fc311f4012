"""Print by how much guidance alone, taken for samples of p_x as in the paper, is off.

    python jobs/bench/unweighted.py [pixels | digits | mnist-sd] [--seed 0]

For each model (the last one needs the extra "text"): F and the KL at five lambdas, where 80 to 5 %
of p0's samples are effective, beside what p0's pool says; and where the paper's estimator ends,
beside lambda*. Of Gaussian pixels all is known in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import typer

from raybilevel import RewardTuning, RunConfig, Variable
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_solver import solve
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.gaussian_pipeline import gaussian_pipeline, pixel, variance

SHARES = (0.8, 0.5, 0.25, 0.1, 0.05)
STEPS, GAMMA, PAIRS = 20, 10.0, 2048
P0 = 256  # paths that a run of pairs begins with
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def priced_pixel(images: Any) -> Any:
    """Best at a mean of 2.5 standard deviations."""
    u = pixel(images)
    return u - 0.2 * u**2


@dataclass(frozen=True)
class Case:
    """A problem, and how many samples of p0 are to know what is true."""

    arguments: dict[str, Any]
    size: int

    def problem(self, **changes: Any) -> RewardTuning:
        """With other arguments."""
        box = Variable("lambda", 5.0, 0.05, 20.0, "log")
        common = {"sampling_steps": STEPS, "lambda_": box, "batch_size": 64}
        return RewardTuning(**common | self.arguments | changes)


PIXELS = Case(
    {
        "model": gaussian_pipeline, "lower_reward": pixel, "upper_reward": priced_pixel,
        "call_options": {"eta": 1.0}, "lambda_": Variable("lambda", 1.0, 0.02, 5.0, "log"),
    },
    16_384,
)  # fmt: skip
CASES = {
    "pixels": PIXELS,
    "digits": Case(
        {
            "model": "digits", "lower_reward": "realism", "call_options": {"eta": 1.0},
            "upper_reward": "legibility + 0.5 * novelty",
        },
        16_384,
    ),
    "mnist-sd": Case(
        {
            "model": "mnist-sd", "prompts": tuple(f"a {digit}" for digit in DIGITS),
            "lower_reward": "proxy_asked_digit", "upper_reward": "asked_digit",
            "scheduler": {"class": "DDIMScheduler"},
            "call_options": {"eta": 1.0, "guidance_scale": 1.0},
        },
        5_120,
    ),
}  # fmt: skip


def pool_of(case: Case, seed: int) -> PoolObjective:
    """What p0's samples say."""
    problem = case.problem(estimator="pool", pool_size=case.size, max_pool_size=case.size)
    run, _ = run_locally(problem, RunConfig(seed=seed))
    return problem.objective(run.state)


def lambdas_of(pool: PoolObjective) -> Sequence[float]:
    """Where given shares of p0's samples are effective."""
    tried = np.geomspace(0.05, 50, 400)
    found = [pool.at(np.array([x])).diagnostics.ess / pool.pool.n for x in tried]
    return [float(tried[np.searchsorted(found, share)]) for share in SHARES]


def alone_at(case: Case, lambda_: float, seed: int) -> dict[str, float]:
    """What pairs say at a lambda: the row of a run of one round."""
    prompts = case.arguments.get("prompts", (None,))
    pairs = PAIRS // len(prompts) * len(prompts)
    size = P0 // len(prompts) * len(prompts) + pairs
    problem = case.problem(
        estimator="guided_unweighted", gamma=GAMMA, pool_size=size, max_pool_size=size,
        round_size=pairs, lambda_=Variable("lambda", lambda_, lambda_ / 2, lambda_ * 2, "log"),
    )  # fmt: skip
    _, rows = run_locally(problem, RunConfig(seed=seed))
    return rows[0]


def show_at(name: str, case: Case, pool: PoolObjective, lambda_: float, seed: int) -> None:
    """A line for a lambda."""
    row, point = alone_at(case, lambda_, seed), pool.at(np.array([lambda_]))
    value, error, kl = point.exact.value, point.exact.value_se, point.diagnostics.kl
    slope = point.exact.gradient[0]
    if case is PIXELS:
        v = variance(STEPS)
        mean = v / lambda_
        value, error, kl = -(mean - 0.2 * (v + mean**2)), 0.0, mean**2 / (2 * v)
        slope = v / lambda_**2 - 0.4 * v**2 / lambda_**3
    print(
        f"{name}, lambda {lambda_:.3f}: F {row['upper_loss']:.4f} +- {row['upper_loss_se']:.4f}, "
        f"of p_x {value:.4f} +- {error:.4f}; KL {row['kl']:.3f}, of p_x {kl:.3f}; dF/dlambda "
        f"{row['gradient/lambda']:.4f} +- {row['gradient_se/lambda']:.4f}, of p_x {slope:.4f}",
        flush=True,
    )


def show_end(name: str, case: Case, pool: PoolObjective, seed: int) -> None:
    """A line for where a run ends."""
    problem = case.problem(estimator="guided_unweighted", gamma=GAMMA, pool_size=2048)
    run, rows = run_locally(problem, RunConfig(seed=seed))
    assert run.stop is not None, "it ends where its paths are drawn"
    solution = solve(pool)
    (low,), (high,) = solution.bounds
    known = f"{solution.x[0]:.3f} ({low:.3f} to {high:.3f})"
    if case is PIXELS:
        known = f"{variance(STEPS) / 2.5:.3f}"
    elif not solution.believed or math.isnan(low):
        known = f"below {solution.x[0]:.3f}"
    print(
        f"{name}: ends at lambda {run.state['x'][0]:.3f}, lambda* {known}; "
        f"{rows[-1]['nfe_total']:,} NFE"
    )
    print(f"  {run.stop.status}: {run.stop.reason}", flush=True)


def main(
    only: Annotated[str, typer.Argument(help="A model; all of them without.")] = "",
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """F, KL and lambda* of guidance alone, beside p_x's."""
    for name, case in CASES.items():
        if only in name:
            pool = pool_of(case, seed + 1)
            for lambda_ in lambdas_of(pool):
                show_at(name, case, pool, lambda_, seed)
            show_end(name, case, pool, seed)


if __name__ == "__main__":
    typer.run(main)
