"""Print how samples that are moved estimate what is known: errors, coverage, gain over p0, reach.

    python jobs/bench/annealed.py oracles [--replicates 400] [--seed-from 100000] [--only NAME]
        [--level 0.0001]
    python jobs/bench/annealed.py rare [--replicates 400] [--seed-from 100000]
    python jobs/bench/annealed.py reach [--replicates 8] [--seed-from 100000] [--only NAME]

`oracles` and `rare` run whole ladders, with all defaults, whose optimum lambda* lies where p0 has a
given share of effective samples. Where a ladder ends, its samples say F, dF/dlambda and the KL at
the true lambda*, if the gates let them, and an interval of lambda*, if it converged. `rare` asks
for a mode of which a pool of p0 is expected to have so many samples. `reach` goes down without an
optimum. A ladder takes two to fifteen seconds of a core; two are run at once. Seeds from 100000 on
were not looked at before the defaults, the families and the lambdas were fixed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated

import numpy as np
import typer
from replicates import Replicate, processes, replicate, show

from raybilevel import RewardTuning, RunConfig, Variable
from raybilevel.problems.base import Status
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.annealed_models import ReadReward
from raybilevel.testing.annealed_oracle import AnnealedOracle, PricedOracle
from raybilevel.testing.annealed_oracles import ANNEALED_ORACLES, LEVELS, rarer_mode

COUNTS = (0.8, 4.0, 12.0, 41.0, 123.0)
RARE_LEVEL = 0.001
CASES = {o.name: o for o in (*ANNEALED_ORACLES, *map(rarer_mode, COUNTS))}  # as processes see them
MOST = 400_000  # evaluations: a ladder that takes more does not answer
BUDGETS = {100_000: 4096, 1_000_000: 16_384}  # and samples a rung
ESS = 400  # that a pool of p0 must have

Replicates = Annotated[int, typer.Option(min=1)]
SeedFrom = Annotated[int, typer.Option(min=0, help="The first; those below 1000 are for trying.")]

Only = Annotated[str, typer.Option(help="Oracles whose name holds this.")]
Level = Annotated[float | None, typer.Option(help="Share of p0's samples that is effective.")]

app = typer.Typer(help=__doc__, add_completion=False, rich_markup_mode=None)


@cache
def priced_at(name: str, level: float) -> PricedOracle:
    """Looked for once in a process."""
    return CASES[name].at(level)


def replicated(name: str, level: float, seed: int) -> Replicate:
    """Run a ladder to the optimum of an oracle."""
    return replicate(priced_at(name, level), "annealed", MOST, seed)


def studied(cases: Iterable[tuple[str, float]], replicates: int, seed_from: int) -> None:
    """Replicate each oracle at each level, and print."""
    seeds = range(seed_from, seed_from + replicates)
    with processes() as pool:
        for name, level in cases:
            done = pool.map(partial(replicated, name, level), seeds, chunksize=1)
            show(f"{name}, {level:.2%} of p0 effective", priced_at(name, level), done)


@app.command()
def oracles(
    replicates: Replicates = 400,
    seed_from: SeedFrom = 100_000,
    only: Only = "",
    level: Level = None,
) -> None:
    """Bias, stated errors, coverage and gain on every oracle, at every level."""
    chosen = [o.name for o in ANNEALED_ORACLES if only in o.name]
    levels = LEVELS if level is None else (level,)
    studied([(name, one) for name in chosen for one in levels], replicates, seed_from)


@app.command()
def rare(replicates: Replicates = 400, seed_from: SeedFrom = 100_000) -> None:
    """The same for a mode of which p0's pool has few samples, or none."""
    studied([(rarer_mode(c).name, RARE_LEVEL) for c in COUNTS], replicates, seed_from)


@dataclass(frozen=True)
class Reached:
    """How far down a ladder came: lambda, in spreads of r2 under p0, and how it ended there."""

    lambda_: float
    nfe: float
    status: Status


def reached(name: str, budget: int, seed: int) -> Reached:
    """Go down as far as so many evaluations lead: more of r2 is always better."""
    oracle = CASES[name]
    spread = spread_of(oracle)
    problem = RewardTuning(
        model=oracle.model, prompts=oracle.prompts, lower_reward=ReadReward(oracle.lower),
        upper_reward=ReadReward(oracle.lower, noisy=True), estimator="annealed",
        lambda_=Variable("lambda", 4 * spread, 1e-4 * spread, 20 * spread, "log"),
        pool_size=BUDGETS[budget],
    )  # fmt: skip
    run, rows = run_locally(problem, RunConfig(seed=seed, max_nfe=budget))
    assert run.stop is not None, "it ends by its budget"
    return Reached(run.state["x"][0] / spread, rows[-1]["nfe_total"], run.stop.status)


def spread_of(oracle: AnnealedOracle) -> float:
    """Of r2 under p0, within a prompt."""
    return math.sqrt(np.mean([n.covariances(0.0)[1] for n in oracle.nodes]))


@app.command()
def reach(replicates: Replicates = 8, seed_from: SeedFrom = 100_000, only: Only = "") -> None:
    """Lambda over the spread of r2 that is reached by 100,000 and 1,000,000 evaluations."""
    seeds = range(seed_from, seed_from + replicates)
    with processes() as pool:
        for oracle in (o for o in ANNEALED_ORACLES if only in o.name):
            for budget in BUDGETS:
                done = pool.map(partial(reached, oracle.name, budget), seeds, chunksize=1)
                lambdas = [r.lambda_ for r in done]
                p0 = oracle.lambda_at(ESS / budget) / spread_of(oracle)
                refused = sum(r.status is Status.STOPPED for r in done)
                print(
                    f"{oracle.name}, {budget:,} NFE: lambda / spread {np.median(lambdas):.4f} "
                    f"({min(lambdas):.4f} to {max(lambdas):.4f}), p0 {p0:.4f}; NFE used "
                    f"{np.mean([r.nfe for r in done]):,.0f}, refused {refused} of {len(done)}",
                    flush=True,
                )


if __name__ == "__main__":
    app()
