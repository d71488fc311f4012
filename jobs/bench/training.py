"""Print what learning the noise schedule while the network trains gains, and what its parts do.

    python jobs/bench/training.py gain [--data digits] [--steps 5,10] [--seeds 5,6,7,8,9]
                                       [--rounds 75] [--device cpu] [--nfe 0]
    python jobs/bench/training.py conditioning | penalty | parallel [--steps 5] [--seeds 5,6,7,8,9]
    python jobs/bench/training.py throughput [--rounds 6] [--device cpu]

A seed decides first weights, batches, and all noises. Every arm of `gain` has the same NFE,
upper level included: those that learn no schedule train for more rounds instead; those of `penalty`
have the same number of rounds, and their NFE stands beside. Fixed schedules
count with the best of all stock spacings and samplers, chosen by the mean over seeds.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from schedule import call, in_processes, numbers, one_thread
from scipy.stats import t as student

from raybilevel import RunConfig, SamplingSchedule, TrainingSchedule
from raybilevel.problems.schedule.comparison import frame
from raybilevel.runtime.environment import make_deterministic
from raybilevel.runtime.rounds import Run, run_locally

app = typer.Typer(help=__doc__, add_completion=False)
Steps = Annotated[str, typer.Option(help="Numbers of sampling steps.")]
Seeds = Annotated[str, typer.Option(help="Seeds.")]
Device = Annotated[str, typer.Option(help="cpu, or cuda: all processes on one GPU.")]
ROUNDS, SHARDS, INNER, BATCH = 75, 4, 10, 128
COMPARED = 2048
LEARNED = "learned while training"


def problem(data: str, steps: int, **changes: Any) -> TrainingSchedule:
    """The defaults here, of whose groups `changes` may change parts."""
    training = {"rounds": ROUNDS, "shards": SHARDS, "inner_steps": INNER, "batch_size": BATCH}
    return TrainingSchedule(
        data=data, sampling_steps=steps, training=training, comparison={"samples": COMPARED},
        estimation={"shard_size": BATCH},
    ).but(**changes)  # fmt: skip


def fixed(data: str, schedule: str, nfe: int, steps: list[int]) -> TrainingSchedule:
    """A whole training of about `nfe` evaluations at a schedule's defaults."""
    rounds = max(1, round(nfe / (3 * SHARDS * INNER * BATCH)))
    return problem(
        data, steps[0], schedule=schedule, comparison={"steps": steps[1:]},
        training={"rounds": rounds, "evaluate_every": 10 * rounds}, optimizer={"updates": 0},
    )  # fmt: skip


def tune_after(data: str, steps: int, trained: Path) -> SamplingSchedule:
    """The sampling schedule alone, of a network that was trained at a fixed one."""
    return SamplingSchedule(
        model=str(trained), data=data, sampling_steps=steps, comparison={"samples": COMPARED},
        estimation={"shard_size": BATCH},
    )  # fmt: skip


def play(
    p: SamplingSchedule | TrainingSchedule, seed: int, device: str
) -> tuple[Run, pd.DataFrame, int]:
    """The run's end, its comparison, and what it cost without that."""
    run, rows = run_locally(p, RunConfig(seed=seed), device=device)
    table = frame(
        run.state["comparison"], p.rounds.subjects(run.state), run.state["comparison_steps"]
    )
    return run, table, int(run.ledger.nfe_total - rows[-1]["nfe_comparison"])


# --- arms ---------------------------------------------------------------------------------------


def learned(
    data: str, seed: int, steps: int, device: str = "cpu", **changes: Any
) -> tuple[pd.DataFrame, int]:
    """The learned schedule on its own network."""
    _, table, nfe = play(problem(data, steps, **changes), seed, device)
    return table.iloc[[0]], nfe


def _learned(data: str, seed: int, steps: int, rounds: int, device: str) -> pd.DataFrame:
    table, nfe = learned(data, seed, steps, device, training={"rounds": rounds})
    return table.assign(arm=LEARNED, cost=nfe, seed=seed)


def _fixed(
    data: str, seed: int, schedule: str, nfe: int, steps: list[int], device: str
) -> pd.DataFrame:
    _, table, spent = play(fixed(data, schedule, nfe, steps), seed, device)
    return table.assign(arm=f"fixed {schedule}", cost=spent, seed=seed)


def _then_tuned(data: str, seed: int, steps: list[int], rounds: int, device: str) -> pd.DataFrame:
    p = fixed(data, "cosine", 3 * rounds * SHARDS * INNER * BATCH, steps)
    run, _, trained = play(p, seed, device)
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        p.export(run.state, Path(folder))
        for n in steps:
            _, table, nfe = play(tune_after(data, n, Path(folder) / "network"), seed, device)
            tables.append(
                table.iloc[[0]].assign(
                    arm="fixed cosine, then tuned", cost=trained + nfe, seed=seed
                )
            )
    return pd.concat(tables)


def print_arms(tables: pd.DataFrame, reference: str) -> None:
    """Means over seeds, and the reference's minus each arm's: 95 % by Student's t over seeds."""
    print("steps  arm                        best as                     NFE       FID  reference "
          "minus it, 95 %   FID 2nd               KID")  # fmt: skip
    for n, here in tables.groupby("steps"):
        base = _best(here[here["arm"] == reference])
        for arm in here["arm"].unique():
            rows = _best(here[here["arm"] == arm])
            cells = [
                f"{rows[metric].mean():8.3f} {_interval(base[metric] - rows[metric])}"
                for metric in ("fid", "fid_second", "kid")
            ]
            name = rows["subject"].iloc[0]
            print(f"{n:5d}  {arm:26s} {name:20s} {rows['cost'].mean():11,.0f} {' '.join(cells)}")


def _best(rows: pd.DataFrame) -> pd.DataFrame:
    """An arm's subject of the least mean FID, by seed."""
    subject = rows.groupby("subject")["fid"].mean().idxmin()
    return rows[rows["subject"] == subject].set_index("seed").sort_index()


def _interval(gaps: pd.Series) -> str:
    if len(gaps) < 2:
        return f"({gaps.mean():+.3f})"
    margin = student.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / len(gaps) ** 0.5
    return f"({gaps.mean() - margin:+.3f} to {gaps.mean() + margin:+.3f})"


# --- commands -----------------------------------------------------------------------------------


@app.command()
def gain(
    data: str = "digits",
    steps: Steps = "5,10",
    seeds: Seeds = "5,6,7,8,9",
    rounds: int = ROUNDS,
    device: Device = "cpu",
    nfe: Annotated[int, typer.Option(help="What others spend; 0 waits for ours, and asks it.")] = 0,
) -> None:
    """Learned while training, fixed cosine and sigmoid, and fixed then tuned, at equal NFE."""
    each = numbers(seeds)
    tasks: list[tuple[Any, ...]] = [
        (_learned, data, seed, n, rounds, device) for seed in each for n in numbers(steps)
    ]
    tasks += [(_then_tuned, data, seed, numbers(steps), rounds, device) for seed in each]
    tables = [] if nfe else _tables(tasks)
    spent = nfe or max(t["cost"].max() for t in tables if t["arm"].iloc[0] == LEARNED)
    rest = [
        (_fixed, data, seed, schedule, spent, numbers(steps), device)
        for schedule in ("cosine", "sigmoid")
        for seed in each
    ]
    tables += _tables([*rest, *tasks] if nfe else rest)
    print_arms(pd.concat(tables).sort_values("arm", key=_first_learned, kind="stable"), LEARNED)


def _first_learned(arms: pd.Series) -> pd.Series:
    return arms != LEARNED


def _tables(tasks: list[tuple[Any, ...]]) -> list[pd.DataFrame]:
    tables = []
    for table in in_processes(_table, tasks):
        best = table.groupby(["steps", "arm"], sort=False)["fid"].min()
        found = ", ".join(f"{arm} ({n} steps) {fid:.2f}" for (n, arm), fid in best.items())
        print(f"# seed {table['seed'].iloc[0]}: best FID of {found}", flush=True)
        tables.append(table)
    return tables


def _table(function: Callable[..., pd.DataFrame], *task: Any) -> pd.DataFrame:
    return function(*task)


def _variant(data: str, seed: int, steps: int, arm: str, changes: Any) -> pd.DataFrame:
    table, nfe = learned(data, seed, steps, **changes)
    return table.assign(arm=arm, cost=nfe, seed=seed)


def _variants(data: str, steps: str, seeds: str, arms: dict[str, dict[str, Any]]) -> None:
    tasks = [
        (data, seed, n, arm, changes)
        for seed in numbers(seeds)
        for n in numbers(steps)
        for arm, changes in arms.items()
    ]
    print_arms(pd.concat(in_processes(_variant, tasks)), next(iter(arms)))


@app.command()
def conditioning(data: str = "digits", steps: Steps = "5", seeds: Seeds = "5,6,7,8,9") -> None:
    """Told the noise level, or the step, all else equal."""
    kinds = {kind: {"conditioning": kind} for kind in ("noise_level", "step")}
    _variants(data, steps, seeds, kinds)


@app.command()
def penalty(
    data: str = "digits", steps: Steps = "5", seeds: Seeds = "5,6,7,8,9", gamma: float = 1e4
) -> None:
    """What the penalty term changes, at the same number of rounds."""
    arms: dict[str, dict[str, Any]] = {"none": {}}
    arms |= {z: {"penalty": {"z_step": z, "gamma": gamma}} for z in ("truncated", "zeroth_order")}
    _variants(data, steps, seeds, arms)


@app.command()
def parallel(data: str = "digits", steps: Steps = "5", seeds: Seeds = "5,6,7,8,9") -> None:
    """FID of a fixed cosine schedule against sequential depth, at equal samples."""
    arms = {
        f"{shards} shards, depth {ROUNDS * SHARDS // shards * INNER}": {
            "training": {
                "shards": shards, "rounds": ROUNDS * SHARDS // shards,
                "average_decay": 0.9 ** (shards / SHARDS), "evaluate_every": 1000,
            },
            "schedule": "cosine", "optimizer": {"updates": 0},
        }
        for shards in (4, 2, 1)
    }  # fmt: skip
    _variants(data, steps, seeds, arms)


@app.command()
def throughput(
    data: str = "digits", rounds: int = 6, repeats: int = 3, device: Device = "cpu"
) -> None:
    """Rounds a minute with 1 and 2 workers (on a GPU 1) against as many plain processes."""
    from raybilevel import BilevelTuner, ScalingConfig

    p = fixed(data, "cosine", 3 * rounds * SHARDS * INNER * BATCH, [5])
    for workers in (1, 2) if device == "cpu" else (1,):
        for _ in range(repeats):
            plain = _plain(p, rounds, workers, device)
            with tempfile.TemporaryDirectory() as folder:
                run = RunConfig(name="run", storage_path=folder, max_rounds=rounds + 1)
                scaling = ScalingConfig(num_workers=workers, use_gpu=device == "cuda")
                result = BilevelTuner(p, scaling, run, watch=lambda progress: None).fit()
                h = result.get_dataframe().iloc[2:]
            seconds = h["time_total_s"].iloc[-1] - h["time_total_s"].iloc[0]
            inside = h["worker_seconds_total"].iloc[-1] - h["worker_seconds_total"].iloc[0]
            ours = 60 * (len(h) - 1) / seconds
            print(
                f"{workers} at once: plain {plain:.1f} rounds a minute, ours {ours:.1f}, ratio "
                f"{ours / plain:.3f}; outside shards {1 - inside / workers / seconds:.1%}",
                flush=True,
            )


def _plain(p: TrainingSchedule, rounds: int, processes: int, device: str) -> float:
    """Rounds a minute of plain processes that share a round's shards between them."""
    each = SHARDS // processes
    with multiprocessing.get_context("spawn").Pool(processes, one_thread) as pool:
        seconds = pool.map(call, [(_shards, (p, each, rounds, device))] * processes, chunksize=1)
    return 60 * (rounds - 1) / max(seconds)


def _shards(p: TrainingSchedule, each: int, rounds: int, device: str) -> float:
    make_deterministic(device)
    worker, state = p.worker(device), p.init(0)
    stage = next(p.run_round(1, state))
    started = 0.0
    for i in range(rounds):
        if i == 1:  # the first warms up
            started = time.monotonic()
        for shard in stage.shards[:each]:
            worker.run(shard, stage.broadcast, i)
    return time.monotonic() - started


if __name__ == "__main__":
    app()
