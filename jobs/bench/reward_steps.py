"""Print what levels that were moved for a reward gain, by that reward and by a judge held out.

    python jobs/bench/reward_steps.py [--steps 4] [--seeds 5] [--seed-from 5]
        [--objective asked_digit] [--judge held_out_asked_digit] [--guidance 1]

mnist-sd and its twenty prompts, DPM-Solver++; each seed is a whole run with 64 noises to begin with
and 256 at most. Its list, where the search began, the teacher's levels before the reward was
looked at, and every stock sampler of as many evaluations are judged on 256 noises that nothing was
tuned on; the rivals that are printed are those that are best on them, by each of the two. Settings
were chosen on seeds below 5. Two runs go at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from few_steps import PROMPTS, SeedFrom, Seeds
from replicates import processes

from raybilevel import RunConfig, SamplingSchedule
from raybilevel.problems.asked_rewards import asked
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.schedule.teacher.comparison import LEARNED, START, rivals_of
from raybilevel.problems.schedule.teacher.drawing import PairedDraws
from raybilevel.problems.schedule.teacher.problem import TeacherSchedule
from raybilevel.problems.schedule.teacher.shards import Draws, Through
from raybilevel.rewards import Reward, load_reward
from raybilevel.runtime.rounds import Run, run_stage

NOISES = 256
TAUGHT = "by the teacher alone"
BEST = 3  # rivals that are printed

Steps = Annotated[int, typer.Option(min=2)]
Guidance = Annotated[float, typer.Option(min=1.0)]


def tuning(steps: int, objective: str, guidance: float) -> TeacherSchedule:
    """The problem, without its own comparison."""
    problem: TeacherSchedule = SamplingSchedule(  # type: ignore[assignment]
        model="mnist-sd", objective=objective, sampling_steps=steps, prompts=PROMPTS,
        solver="dpm++", call_options={"guidance_scale": guidance},
        estimation={"samples": NOISES, "first_samples": 64, "shard_size": 16},
        comparison={"samples": 0, "rivals": "all"},
    )  # fmt: skip
    return problem


def tuned(steps: int, objective: str, judge: str, guidance: float, seed: int) -> pd.DataFrame:
    """Rewards (objective's, judge's) of each noise by each subject, and what the tuning cost."""
    problem = tuning(steps, objective, guidance)
    worker, run = problem.worker("cpu"), Run.begin(problem, RunConfig(seed=seed))
    taught = None
    while run.stop is None:
        run.play(lambda stage: run_stage(stage, worker, run, 1))
        taught = run.state["x"] if not run.state["updates"][1] else taught
    state, known = run.state, problem.source.lists(float(run.state["mu"]))
    (rivals,) = rivals_of(problem.source, (steps,), problem.comparison, state["rival_steps"])
    own = {START: state["x_start"], TAUGHT: taught}
    mine = {name: tuple(problem.space.sigmas(x)) for name, x in own.items()}
    rounded = {n: tuple(known.sigmas_at(known.timesteps(np.array(s)))) for n, s in mine.items()}
    lists = {LEARNED: tuple(state["sigmas"]), **rounded}
    subjects = [*(Through(name, sigmas) for name, sigmas in lists.items()), *rivals]
    judges = {"reward": load_reward(objective, "objective", "cpu"),
              "judged": load_reward(judge, "judge", "cpu")}  # fmt: skip
    draws = PairedDraws(problem.source, problem.prompt_list, None, "cpu")
    shards = problem.plan.compare(state["seed_base"], NOISES, subjects).shards
    drawn = [shard.draws for shard in shards]
    said = [_said(draws, drawn, problem.prompt_list, judges, subject) for subject in subjects]
    found = [
        {"subject": subject.name, **each, "gap": said[0]["reward"] - each["reward"],
         "judged_gap": said[0]["judged"] - each["judged"]}
        for subject, each in zip(subjects, said, strict=True)
    ]  # fmt: skip
    return pd.concat([pd.DataFrame(each) for each in found]).assign(
        seed=seed, tuning=run.ledger.nfe_total
    )


def _said(
    draws: PairedDraws,
    drawn: Sequence[Draws],
    prompts: PromptList | None,
    judges: Mapping[str, Reward],
    subject: Through,
) -> dict[str, np.ndarray]:
    """What each judge says (n,) of a subject's images; nan where they overflow."""
    parts = []
    for one in drawn:
        images, _ = draws.images_as_they_are(one, subject)
        known = np.isfinite(images.numpy()).all()
        nothing = dict.fromkeys(judges, np.full(len(images), np.nan))
        parts.append(asked(judges, images, one.seeds, prompts, one.prompts) if known else nothing)
    return {name: np.concatenate([part[name] for part in parts]) for name in judges}


def show(runs: Sequence[pd.DataFrame]) -> None:
    """Means over runs, and gaps with their errors over all noises."""
    every = pd.concat(runs)
    mean = every.groupby("subject")[["reward", "judged", "gap", "judged_gap"]].agg(["mean", "sem"])
    own = [LEARNED, TAUGHT, START]
    rivals = mean.drop(index=own)
    best = [rivals[(by, "mean")].nlargest(BEST).index for by in ("reward", "judged")]
    spent = every.groupby("seed")["tuning"].first()
    print(f"{len(runs)} runs, tuning {spent.mean():,.0f} NFE ({spent.min():,} to {spent.max():,})")
    for name in dict.fromkeys([*own, *best[0], *best[1]]):
        row = mean.loc[name]
        gaps = (f"{row[g, 'mean']:+.4f} +- {row[g, 'sem']:.4f}" for g in ("gap", "judged_gap"))
        said = " and ".join(gaps)
        print(
            f"    {name:<24} reward {row['reward', 'mean']:.4f}, judged {row['judged', 'mean']:.4f}"
            f"; learned minus this {said}",
            flush=True,
        )


def main(
    steps: Steps = 4,
    seeds: Seeds = 5,
    seed_from: SeedFrom = 5,
    objective: str = "asked_digit",
    judge: str = "held_out_asked_digit",
    guidance: Guidance = 1.0,
) -> None:
    """Tune and judge."""
    with processes() as pool:
        run = partial(tuned, steps, objective, judge, guidance)
        show(pool.map(run, range(seed_from, seed_from + seeds), chunksize=1))


if __name__ == "__main__":
    typer.run(main)
