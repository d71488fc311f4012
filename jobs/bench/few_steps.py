"""Print how near few learned steps of a text pipeline come to many, beside every stock sampler.

    python jobs/bench/few_steps.py [--steps 4 --steps 6 ...] [--together] [--seeds 5]
        [--seed-from 5] [--solver DPMSolverMultistepScheduler]

mnist-sd with guidance 3 and its twenty prompts; the teacher takes 50 steps. Each seed is a whole
run with all defaults, compared on 64 noises of its own with every stock sampler of as many
evaluations and with the solver itself at 10, 20 and 50 steps. The rivals that are printed are those
that are best on the reported seeds themselves. With `--together` a run has one curve for all of the
numbers of steps. Settings were chosen on seeds below 5. Two runs go at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from replicates import processes

from raybilevel import RunConfig, SamplingSchedule
from raybilevel.problems.schedule.teacher.comparison import LEARNED, START, frame, rivals_of
from raybilevel.runtime.rounds import run_locally

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PROMPTS = tuple(f"a {width} {digit}" for width in ("thin", "thick") for digit in DIGITS)
MORE = (10, 20, 50)  # steps of the solver itself
BEST = 5  # rivals that are printed

Steps = Annotated[list[int], typer.Option(help="Numbers of steps.")]
Seeds = Annotated[int, typer.Option(min=2)]
SeedFrom = Annotated[int, typer.Option(min=0, help="The first; those below 5 are for trying.")]
Together = Annotated[bool, typer.Option("--together", help="One curve for all of them.")]
Solver = Annotated[str, typer.Option(help="A class of schedulers.")]


def tuned(steps: tuple[int, ...], solver: str, seed: int) -> pd.DataFrame:
    """The comparison of one run, with what its tuning cost."""
    problem = SamplingSchedule(
        model="mnist-sd", objective="teacher", sampling_steps=steps, prompts=PROMPTS,
        solver={"class": solver}, call_options={"guidance_scale": 3.0},
        comparison={"samples": 64, "rivals": "all", "steps": MORE},
    )  # fmt: skip
    run, rows = run_locally(problem, RunConfig(seed=seed))
    state = run.state
    rivals = rivals_of(problem.source, problem.counts, problem.comparison, state["rival_steps"])
    table = frame(state["comparison"], problem.counts, rivals)
    spent = rows[-1]["nfe_total"] - rows[-1]["nfe_comparison"]
    return table.assign(seed=seed, tuning=spent, status=run.stop.status if run.stop else "")


def show(steps: int, runs: Sequence[pd.DataFrame]) -> None:
    """One number of steps: means over runs, and gaps with their errors."""
    every = pd.concat(runs)
    n = len(runs)
    means = every.groupby("subject").agg(
        nfe=("nfe", "mean"), distance=("distance", "mean"), median=("distance_median", "mean"),
        gap=("gap", "mean"), gap_se=("gap_se", lambda s: float(np.sqrt((s**2).sum())) / n),
        seen=("seed", "count"),
    )  # fmt: skip
    learned, whole = means.loc[LEARNED], means[means["seen"] == n]
    equal = whole[(whole["nfe"] <= learned["nfe"]) & ~whole.index.isin([LEARNED, START])]
    best = equal.sort_values("distance").head(BEST)
    nearest = whole[whole.index.str.startswith("own, ")].sort_values("nfe")
    print(
        f"{steps} steps: learned {learned['distance']:.5f} (median {learned['median']:.5f}), "
        f"tuning {every['tuning'].mean():,.0f} NFE "
        f"({every['tuning'].min():,.0f} to {every['tuning'].max():,.0f}), "
        f"{', '.join(sorted({str(s) for s in every['status']}))}; of {len(equal)} rivals"
    )
    for name, row in pd.concat([best, nearest]).iterrows():
        print(
            f"    {name:<26}{row['nfe']:>6.0f} NFE  {row['distance']:.5f} "
            f"(median {row['median']:.5f}), learned minus this "
            f"{row['gap']:+.5f} +- {row['gap_se']:.5f}",
            flush=True,
        )


def main(
    steps: Steps = [4, 5, 6, 8, 10],  # noqa: B006 - typer reads it, and nobody changes it
    seeds: Seeds = 5,
    seed_from: SeedFrom = 5,
    solver: Solver = "DPMSolverMultistepScheduler",
    *,
    together: Together = False,
) -> None:
    """Tune and compare at each number of steps."""
    with processes() as pool:
        for counts in [tuple(steps)] if together else [(count,) for count in steps]:
            run = partial(tuned, counts, solver)
            runs = pool.map(run, range(seed_from, seed_from + seeds), chunksize=1)
            for count in counts:
                show(count, [table[table["sampling_steps"] == count] for table in runs])


if __name__ == "__main__":
    typer.run(main)
