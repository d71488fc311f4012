"""Print how guided paths estimate what is known, beside samples that are moved, and p0.

    python jobs/bench/guided.py [--replicates 400] [--seed-from 100000] [--only NAME]
        [--estimator NAME]

It runs to the optimum of Gaussian pixels (4 to 256 of them; a reward of one, and one of all)
where p0 has a given share of effective samples, by guided paths, by such that are resampled in
islands, and by annealed samples of one sampler with all defaults: bias, stated errors, coverage,
and what p0 would cost for the same error. Seeds from 100000 on were not looked at before the
defaults, the families and the lambdas were fixed.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Annotated, Any

import typer
from replicates import Replicate, processes, replicate, show

from raybilevel.testing.annealed_oracle import PricedOracle
from raybilevel.testing.guided_oracles import SIDES, STEPS, bowl_pixels, linear_pixels

CASES = {o.name: o for make in (linear_pixels, bowl_pixels) for o in map(make, SIDES)}
LEVELS = (0.01, 0.001)
MOST = 8_000_000  # NFE: a run that takes more does not answer
ESTIMATORS: dict[str, dict[str, Any]] = {
    "guided": {"estimator": "guided"},
    "resampled": {"estimator": "guided", "guided_resampling": True},
    "annealed": {"estimator": "annealed"},
}

Replicates = Annotated[int, typer.Option(min=1)]
SeedFrom = Annotated[int, typer.Option(min=0, help="The first; those below 1000 are for trying.")]
Only = Annotated[str, typer.Option(help="Oracles whose name holds this.")]
Estimator = Annotated[str, typer.Option(help="Estimators whose name holds this.")]


@cache
def priced_at(name: str, level: float) -> PricedOracle:
    """Looked for once in a process."""
    return CASES[name].at(level)


def replicated(name: str, level: float, estimator: str, seed: int) -> Replicate:
    """Run to the optimum of an oracle."""
    return replicate(priced_at(name, level), most=MOST, seed=seed, **ESTIMATORS[estimator])


def main(
    replicates: Replicates = 400,
    seed_from: SeedFrom = 100_000,
    only: Only = "",
    estimator: Estimator = "",
) -> None:
    """Bias, stated errors, coverage and gain on every oracle, at every level."""
    seeds = range(seed_from, seed_from + replicates)
    with processes() as pool:
        for name in (name for name in CASES if only in name):
            for level in LEVELS:
                for kind in (kind for kind in ESTIMATORS if estimator in kind):
                    done = pool.map(partial(replicated, name, level, kind), seeds, chunksize=1)
                    title = f"{name}, {level:.2%} of p0 effective, {kind}"
                    show(title, priced_at(name, level), done, STEPS)


if __name__ == "__main__":
    typer.run(main)
