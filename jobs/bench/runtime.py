"""What the runtime costs, as ratios of things timed in one run, interleaved.

    python jobs/bench/runtime.py [import|null|million|sampling ...] [--samples 2048] [--repeats 3]

Prints: `import raybilevel` against `import ray`; drawing samples through workers against plain
processes with the same threads, start-up apart; null shards a second through the driver; and one
upper-level step on a pool of a million rewards, with the driver's memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from raybilevel import RewardTuning, RunConfig, ScalingConfig, Variable
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.problems.base import (
    Arrays,
    Output,
    Problem,
    Shard,
    Stage,
    Status,
    Stop,
    Update,
)
from raybilevel.problems.reward.models.pixels import PixelModel
from raybilevel.problems.reward.shards import DrawRewards
from raybilevel.problems.reward.worker import RewardWorker
from raybilevel.problems.seeds import sample_seeds, seed_base
from raybilevel.rewards import load_reward

_PLAIN = """
import json, sys, time
from raybilevel.runtime.threads import fix_threads
fix_threads(1)
from raybilevel.problems.seeds import sample_seeds, seed_base
from raybilevel.lower.pretrained import pretrained
from raybilevel.lower.sampling.pixel import PixelSampler
first, until, size = map(int, sys.argv[1:])
sampler = PixelSampler(pretrained(), "cpu")
seeds = sample_seeds(seed_base(1), first, until)
sampler.sample(seeds[:size])
print("ready", flush=True)
sys.stdin.readline()
started = time.time()
for a in range(0, len(seeds), size):
    sampler.sample(seeds[a : a + size]).mean(dim=(1, 2, 3)).tolist()
print(json.dumps([started, time.time()]), flush=True)
"""


class Null(Problem):
    """Rounds of shards that do nothing."""

    def __init__(self, shards: int, rounds: int) -> None:
        self.shards, self.rounds = shards, rounds

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (Variable("x", 0.0, -1.0, 1.0),)

    def check(self) -> None:
        """Nothing can be wrong."""

    def init(self, seed: int) -> Arrays:
        return {"x": np.zeros(1)}

    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        yield self.work(round_)
        stop = Stop(Status.CONVERGED, "done") if round_ + 1 == self.rounds else None
        return Update(state, {"config/x": 0.0, "upper_loss": 0.0}, stop)

    def work(self, round_: int) -> Stage:
        return Stage((Shard(),) * self.shards)

    def worker(self, device: str) -> Null:
        return self

    def run(self, shard: Shard, broadcast: Any, key: int) -> Output:
        return Output()

    def trial(self, x: Any) -> Problem:
        return self

    def export(self, state: Arrays, directory: Path) -> None:
        """Nothing to take away."""


class Drawing(Null):
    """Rounds that draw samples of the digits model and score their ink; nothing is solved."""

    def __init__(self, samples: int, size: int, rounds: int) -> None:
        super().__init__(samples // size, rounds)
        self.size = size

    def work(self, round_: int) -> Stage:
        base, per_round = seed_base(1), self.shards * self.size
        starts = range(round_ * per_round, (round_ + 1) * per_round, self.size)
        seeds = (sample_seeds(base, a, a + self.size) for a in starts)
        return Stage(tuple(DrawRewards(tuple(batch)) for batch in seeds))

    def worker(self, device: str) -> Any:
        sampler = PixelModel("digits", PipelineSettings()).sampler(device)
        return RewardWorker(sampler, {"ink": load_reward("ink", "upper", device)})


def normal(seeds: list[int]) -> Any:
    """A model that costs nothing: (N, 2) normal numbers."""
    import torch

    return torch.from_numpy(np.random.default_rng(seeds[0]).normal(size=(len(seeds), 2)))


def first(samples: Any) -> Any:
    return samples[:, 0]


def near(samples: Any) -> Any:
    return -((samples[:, 0] - 1).clip(-2, 2) ** 2) + 0.1 * samples[:, 1]


def round_seconds(
    problem: Problem, workers: int, watch: Callable[[Any], None] = lambda progress: None
) -> list[float]:
    """Seconds of each round after the first, which waits for the workers to start."""
    from raybilevel.runtime.client import drive
    from raybilevel.runtime.run_spec import RunSpec
    from raybilevel.runtime.storage import RunDirectory

    with tempfile.TemporaryDirectory() as folder:
        run = RunConfig(name="bench", storage_path=folder, seed=1)
        drive(RunSpec(problem, ScalingConfig(num_workers=workers), run, "bench"), watch)
        total = RunDirectory(folder, "bench").read_table("history")["time_total_s"]
    return [float(s) for s in np.diff(total)]


def plain_seconds(samples: int, size: int, processes: int) -> float:
    """Wall seconds in which plain processes draw `samples`, each its part, once all are ready."""
    parts = np.linspace(0, samples, processes + 1, dtype=int)
    children = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _PLAIN, str(a), str(b), str(size)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for a, b in pairwise(parts)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    spans = [json.loads(child.communicate()[0]) for child in children]
    return float(max(end for _, end in spans) - min(start for start, _ in spans))


def bench_import() -> None:
    """`import raybilevel` against `import ray`."""
    seconds: dict[str, list[float]] = {"raybilevel": [], "ray": []}
    for _ in range(7):
        for name, times in seconds.items():
            code = f"import time; t = time.time(); import {name}; print(time.time() - t)"
            out = subprocess.run(  # noqa: S603
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            )
            times.append(float(out.stdout))
    ours, rays = (statistics.median(times) for times in seconds.values())
    print(f"import: raybilevel {ours:.3f} s, ray {rays:.3f} s, ratio {ours / rays:.2f}")


def bench_sampling(samples: int, size: int, repeats: int) -> None:
    """Drawing through workers against plain processes."""
    for workers in (1, 2):
        ratios = []
        for _ in range(repeats):
            before = plain_seconds(samples, size, workers)
            ours = statistics.median(round_seconds(Drawing(samples, size, 4), workers))
            after = plain_seconds(samples, size, workers)
            ratios.append((before + after) / 2 / ours)
            print(
                f"  {samples} samples, {workers} at once: plain {before:.2f} and {after:.2f} s, "
                f"ours {ours:.2f} s, speed ratio {ratios[-1]:.3f}",
                flush=True,
            )
        print(f"sampling with {workers}: median speed ratio {statistics.median(ratios):.3f}")


def bench_null(shards: int) -> None:
    """Null shards through the driver."""
    for workers in (1, 2):
        seconds = statistics.median(round_seconds(Null(shards, 5), workers))
        print(f"null shards: {shards / seconds:,.0f} a second with {workers} workers")


def bench_million() -> None:
    """One upper-level step on a pool of a million rewards, and the driver's peak memory."""
    import ray

    from raybilevel.problems.reward.coefficients import Coefficients
    from raybilevel.problems.reward.pool_objective import PoolObjective
    from raybilevel.runtime.driver import NAMESPACE
    from raybilevel.upper.penalty import Pool

    n = 1_000_000
    rng = np.random.default_rng(0)
    u = rng.normal(size=(n, 2))
    pool = Pool(-((u[:, 0] - 1) ** 2).clip(0, 4), u[:, :1])
    lambda_ = Variable("lambda", 2.0, 0.5, 20.0, "log")
    objective = PoolObjective(pool, Coefficients((lambda_, 1.0)))
    times = []
    for _ in range(5):
        started = time.perf_counter()
        objective.examine(objective.estimate(np.ones(1)))
        times.append(time.perf_counter() - started)
    step = statistics.median(times)
    print(f"upper-level step (value, gradient, all gates) on {n:,} rewards: {step:.3f} s")

    peak = [0.0]

    def watch(progress: Any) -> None:
        name = next(a["name"] for a in ray.util.list_named_actors(all_namespaces=True))
        driver = ray.get_actor(name, namespace=NAMESPACE)
        status = ray.get(driver.__ray_call__.remote(_peak_megabytes))
        peak[0] = max(peak[0], status)

    problem = RewardTuning(
        model=normal, lower_reward=first, upper_reward=near, pool_size=n, max_pool_size=n,
        round_size=n // 2, shard_size=n // 50,
    )  # fmt: skip
    round_seconds(problem, 2, watch)
    print(f"driver with a pool of {n:,}: peak memory {peak[0]:,.0f} MB")


def _peak_megabytes(actor: Any) -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ["import", "null", "million", "sampling"]
    parser.add_argument("parts", nargs="*", choices=parts, default=parts)
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--shard-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--null-shards", type=int, default=5000)
    arguments = parser.parse_args()

    from raybilevel.runtime.ray_session import ray_session

    if "import" in arguments.parts:
        bench_import()
    with ray_session():
        if "null" in arguments.parts:
            bench_null(arguments.null_shards)
        if "million" in arguments.parts:
            bench_million()
        if "sampling" in arguments.parts:
            bench_sampling(arguments.samples, arguments.shard_size, arguments.repeats)


if __name__ == "__main__":
    main()
