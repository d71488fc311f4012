"""Whole runs on a cluster that changes under them, against the same runs left alone.

    python jobs/bench/soak.py [--events 20] [--seeds 0,1,2] [--problems reward,schedule,training]
                        [--storms | --each]

Nodes of a cluster of several raylets are added, killed, and drained and killed, workers and the
driver are killed by SIGKILL, at random times in random rounds. The trace of x, the final state and
nfe_total have to be those of the quiet run, to the bit; the exit code is 1 where one is not. With
`--storms` every worker is killed once a round instead, for ten rounds; with `--each` every kind of
event happens once.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TextIO

import numpy as np
import ray
import torch
import typer

from raybilevel import RewardTuning, RunConfig, SamplingSchedule, ScalingConfig, TrainingSchedule
from raybilevel.cache import made_once
from raybilevel.problems.base import Problem
from raybilevel.runtime.client import drive
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.run_status import Progress
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.nodes import SpotCluster, actor_pids, kill_actor
from raybilevel.testing.quiet import differences

app = typer.Typer(add_completion=False)

NOTICE = 3.0  # seconds between a drain and the end of the node
MOST, FEWEST = 3, 1  # nodes beside the head


# --- problems -----------------------------------------------------------------------------------


def nap(seconds: float) -> None:
    """Take time where there is weather; the quiet run needs none."""
    if ray.is_initialized() and ray.get_runtime_context().get_actor_id():
        time.sleep(seconds)


def slow_normal(seeds: list[int]) -> torch.Tensor:
    """A model that takes its time: (N, 2) normal, a sample a seed."""
    nap(0.4)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(2, generator=g) for g in generators])


def first(samples: torch.Tensor) -> torch.Tensor:
    return samples[:, 0]


def near_one(samples: torch.Tensor) -> torch.Tensor:
    return -((samples[:, 0] - 1.0).clamp(-3, 3) ** 2)


class Pixels(torch.nn.Module):
    """The image itself as features, slowly."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        nap(0.02)
        return images.flatten(1)


SMALL: dict[str, Any] = {
    "data": "digits", "sampling_steps": 2, "estimation": {"samples": 64, "shard_size": 16},
    "optimizer": {"directions": 2, "updates": 10}, "comparison": {"samples": 128},
}  # fmt: skip
NETWORK = {"block_out_channels": [8, 16], "norm_num_groups": 4}


def reward() -> RewardTuning:
    return RewardTuning(
        model=slow_normal, lower_reward=first, upper_reward=near_one, pool_size=4096,
        max_pool_size=4096, shard_size=64, round_size=256,
    )  # fmt: skip


def barely_trained() -> Path:
    """The digits model after one step: what it draws is noise, and costs what images cost."""
    from raybilevel.data import load
    from raybilevel.lower.training.pretrain import pretrain

    def make(folder: Path) -> None:
        pretrain(folder, load("digits").images, steps=1)

    return made_once("soak-digits-v1", make)


def schedule() -> SamplingSchedule:
    model = str(barely_trained())
    return SamplingSchedule(model=model, extractor=Pixels(), second_extractor=Pixels(), **SMALL)


def training() -> TrainingSchedule:
    settings = {"rounds": 20, "warmup": 9, "shards": 4, "inner_steps": 5, "batch_size": 32}
    return TrainingSchedule(
        extractor=Pixels(), second_extractor=Pixels(), network=NETWORK, training=settings, **SMALL
    )


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "reward": reward, "schedule": schedule, "training": training,
}  # fmt: skip


# --- weather ------------------------------------------------------------------------------------


@dataclass
class Weather:
    """Events that wait for their round, then for their second; to be shown a run's progress."""

    cluster: SpotCluster
    rng: np.random.Generator
    plan: list[tuple[int, float, str]]
    happened: Counter[str] = field(default_factory=Counter)
    due: list[tuple[float, Callable[[], str]]] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        while self.plan and progress.workers and self.plan[0][0] <= progress.round:
            _, delay, kind = self.plan.pop(0)
            self.due.append((now + delay, getattr(self, kind)))
        for at, event in [one for one in self.due if one[0] <= now]:
            self.due.remove((at, event))
            self.happened[event()] += 1

    def add(self) -> str:
        if len(self.cluster.nodes) >= MOST:
            return self.kill()
        self.cluster.add(1)
        return "node added"

    def kill(self) -> str:
        if len(self.cluster.nodes) <= FEWEST:
            return self.add()
        self.cluster.kill(self._node())
        return "node killed"

    def drain(self) -> str:
        if len(self.cluster.nodes) <= FEWEST:
            return self.add()
        node = self._node()
        self.cluster.drain(node, NOTICE)
        self.due.append((time.monotonic() + NOTICE, lambda: self._gone(node)))
        return "node drained"

    def _gone(self, node: Any) -> str:
        if node in self.cluster.nodes:
            self.cluster.kill(node)
        if len(self.cluster.nodes) < FEWEST:
            self.cluster.add(1)
        return "drained node ended"

    def _node(self) -> Any:
        return self.cluster.nodes[self.rng.integers(len(self.cluster.nodes))]

    def worker(self) -> str:
        return self._kill_one("worker", "WorkerActor")

    def driver(self) -> str:
        return self._kill_one("driver", "Driver")

    def _kill_one(self, name: str, kind: str) -> str:
        pids = actor_pids(kind)
        if not pids:
            return f"no {name} there"
        kill_actor(int(self.rng.choice(pids)))
        return f"{name} killed"

    def storm(self) -> str:
        for pid in actor_pids("WorkerActor"):
            kill_actor(pid)
        return "all workers killed"


def weather(cluster: SpotCluster, seed: int, events: int, rounds: int) -> Weather:
    """Random events in random rounds of a run that has so many; a driver's end is a rare one."""
    rng = np.random.default_rng([2026, seed])
    kinds = rng.choice(
        ["add", "kill", "drain", "worker", "driver"], size=events, p=[0.25, 0.2, 0.2, 0.25, 0.1]
    )
    at = sorted(rng.integers(0, rounds, size=events))
    delays = rng.uniform(0, 1.5, size=events)
    return Weather(cluster, rng, list(zip(map(int, at), map(float, delays), kinds, strict=True)))


def storms(cluster: SpotCluster, seed: int, events: int, rounds: int) -> Weather:
    """All workers killed once in each of the first ten rounds."""
    rng = np.random.default_rng([2026, seed])
    plan = [(i, float(rng.uniform(0, 0.5)), "storm") for i in range(min(10, rounds))]
    return Weather(cluster, rng, plan)


def each(cluster: SpotCluster, seed: int, events: int, rounds: int) -> Weather:
    """One event of each kind, each in a round of its own, the second to the last but one."""
    rng = np.random.default_rng([2026, seed])
    kinds = ["worker", "add", "drain", "driver", "kill"]
    at = np.linspace(1, rounds - 2, len(kinds)).round()
    return Weather(cluster, rng, [(int(i), 0.0, kind) for i, kind in zip(at, kinds, strict=True)])


Plan = Callable[[SpotCluster, int, int, int], Weather]
"""Makes the weather of a run: cluster, seed, how many events, rounds."""


# --- runs ---------------------------------------------------------------------------------------


def soak(
    cluster: SpotCluster, name: str, seed: int, events: int, plan: Plan, table: TextIO
) -> bool:
    """One run through bad weather; writes its lines, gives whether all was as in the quiet one."""
    problem = PROBLEMS[name]()
    problem.check()
    cluster.add(1)
    cluster.add(1)
    quiet, rows = run_locally(problem, RunConfig(seed=seed))
    watch = plan(cluster, seed, events, len(rows))
    with tempfile.TemporaryDirectory() as folder:
        run = RunConfig(name="run", storage_path=folder, seed=seed)
        started = time.monotonic()
        drive(RunSpec(problem, ScalingConfig(num_workers=(1, 3)), run, "run"), watch)
        seconds = time.monotonic() - started
        directory = RunDirectory(folder, "run")
        wrong = list(differences(directory, quiet, rows))
        last = directory.read_table("history").iloc[-1]
    cluster.clear()
    changes = "  ".join(f"{last[f'workers_{c}']:>6.0f}" for c in ("joined", "lost", "drained"))
    costs = f"{last['shards_retried']:>7.0f}  {last['nfe_repeated'] / last['nfe_total']:>8.1%}"
    verdict = "the same bits" if not wrong else f"OTHER: {', '.join(wrong)}"
    happened = ", ".join(f"{n} {kind}" for kind, n in sorted(watch.happened.items()))
    print(
        f"{name:9s} {seed:4d} {len(rows):6d} {seconds:7.0f}  {changes}  {costs}  {verdict}\n"
        f"          {happened}", file=table, flush=True,
    )  # fmt: skip
    return not wrong


@app.command(help=__doc__)
def main(
    events: int = 20,
    seeds: Annotated[str, typer.Option(help="Seeds.")] = "0,1,2",
    problems: Annotated[str, typer.Option(help="Which.")] = ",".join(PROBLEMS),
    storm: Annotated[bool, typer.Option("--storms", help="Kill all workers once a round.")] = False,
    one_each: Annotated[bool, typer.Option("--each", help="One event of each kind.")] = False,
) -> None:
    plan = storms if storm else each if one_each else weather
    print("problem   seed rounds seconds  joined    lost  drained  retried  repeated", flush=True)
    table = sys.stdout
    # Ray prints what it has lost to standard output, from a thread: in the middle of our lines
    with redirect_stdout(sys.stderr), closing(SpotCluster()) as cluster:
        fine = [
            soak(cluster, name, int(seed), events, plan, table)
            for name in problems.split(",")
            for seed in seeds.split(",")
        ]
    raise typer.Exit(0 if all(fine) else 1)


if __name__ == "__main__":
    app()
