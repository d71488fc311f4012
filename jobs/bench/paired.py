"""Print FID of levels that were tuned by paired differences, and by two-point gradients, and NFE.

    python jobs/bench/paired.py [--steps 5] [--model digits] [--data digits] [--objective fid]
        [--seeds 5] [--seed-from 5] [--noises 1024]

Paired: `SamplingSchedule` with a teacher first, then central differences on common noises that are
doubled where a gain is not sure. Two-point: `SamplingSchedule` as it is without. Both with all
defaults, a whole run each a seed; their lists, where the paired search began, and the stock
samplers of as many evaluations are then judged on the same noises, which nothing was tuned on, by
the objective's extractor and by a second one. Two runs go at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from few_steps import SeedFrom, Seeds
from replicates import processes

from raybilevel import RunConfig, SamplingSchedule
from raybilevel.lower.sampling.level_lists.sigmas import to_sigmas
from raybilevel.problems.base import Problem
from raybilevel.problems.schedule.real_images.judging import JUDGED, judge
from raybilevel.problems.schedule.teacher.comparison import rivals_of
from raybilevel.problems.schedule.teacher.problem import TeacherSchedule
from raybilevel.problems.schedule.teacher.shards import Through
from raybilevel.runtime.rounds import Run, run_locally

PAIRED, TWO_POINT = "paired", "two-point"
UNCOMPARED = {"samples": 0, "rivals": "all"}

Steps = Annotated[int, typer.Option(min=2)]
Noises = Annotated[int, typer.Option(min=128)]


def tuned(
    steps: int, model: str, data: str, objective: str, noises: int, seed: int
) -> pd.DataFrame:
    """The judgement of one seed's lists, and what their tuning cost."""
    given = {"model": model, "data": data, "objective": objective, "sampling_steps": steps}
    paired: TeacherSchedule = SamplingSchedule(  # type: ignore[assignment]
        **given, teacher={}, comparison=UNCOMPARED
    )
    two_point = SamplingSchedule(**given, comparison={"samples": 0})
    runs = {PAIRED: _run(paired, seed), TWO_POINT: _run(two_point, seed)}
    spent = {name: run.ledger.nfe_total for name, run in runs.items()}
    levels = two_point.space.levels(runs[TWO_POINT].state["x"])
    lists = {
        PAIRED: tuple(runs[PAIRED].state["sigmas"].tolist()),
        TWO_POINT: tuple(to_sigmas(levels, flow=False).tolist()),
    }
    rival_steps = runs[PAIRED].state["rival_steps"]
    (rivals,) = rivals_of(paired.source, (steps,), paired.comparison, rival_steps)
    subjects = [*(Through(name, sigmas) for name, sigmas in lists.items()), *rivals]
    table = _judged(paired, runs[PAIRED], subjects, noises)
    return table.assign(seed=seed, spent=table["subject"].map(spent))


def _run(problem: Problem, seed: int) -> Run:
    run, _ = run_locally(problem, RunConfig(seed=seed))
    return run


def _judged(
    problem: TeacherSchedule, run: Run, subjects: Sequence[Through], noises: int
) -> pd.DataFrame:
    """Of each subject FID and KID by both extractors, and gaps: the paired list's minus its own."""
    worker = problem.worker("cpu")
    stage = problem.plan.compare(run.state["seed_base"], noises, subjects, judged=True)
    drawn = [worker.run(shard, stage.broadcast, 0).rows for shard in stage.shards]
    names = ("objective", "second")
    features = {n: np.concatenate([d[f"features/{n}"] for d in drawn]) for n in names}
    table = judge(run.state, {name: np.moveaxis(f, 1, 0) for name, f in features.items()})
    named = pd.DataFrame({"subject": [subject.name for subject in subjects]})
    return named.join(pd.DataFrame(table, columns=list(JUDGED)))


def show(metric: str, runs: Sequence[pd.DataFrame]) -> None:
    """Means over seeds; of rivals the best on these noises themselves."""
    every, n = pd.concat(runs), len(runs)
    columns = [metric, f"{metric}_gap", f"{metric}_second", f"{metric}_gap_second", "spent"]
    means = every.groupby("subject")[columns].mean()
    gaps = every.groupby("subject")[[columns[1], columns[3]]].sem()
    own = [PAIRED, TWO_POINT]
    best = means.drop(index=own)[metric].nsmallest(3).index
    for name in [*own, *best]:
        row, error = means.loc[name], gaps.loc[name]
        nfe = f"tuning {row['spent']:,.0f} NFE, " if name in own else ""
        print(
            f"    {name:<24}{nfe}{metric} {row[metric]:.3f}, by the second extractor "
            f"{row[columns[2]]:.3f}; paired minus this {row[columns[1]]:+.3f} +- "
            f"{error[columns[1]]:.3f} and {row[columns[3]]:+.3f} +- {error[columns[3]]:.3f}",
            flush=True,
        )
    spent = every[every["subject"] == PAIRED]["spent"]
    print(f"    {n} seeds; paired took {spent.min():,.0f} to {spent.max():,.0f} NFE", flush=True)


def main(
    steps: Steps = 5,
    model: str = "digits",
    data: str = "digits",
    objective: str = "fid",
    seeds: Seeds = 5,
    seed_from: SeedFrom = 5,
    noises: Noises = 1024,
) -> None:
    """Tune in both ways, and judge."""
    with processes() as pool:
        run = partial(tuned, steps, model, data, objective, noises)
        show(objective, pool.map(run, range(seed_from, seed_from + seeds), chunksize=1))


if __name__ == "__main__":
    typer.run(main)
