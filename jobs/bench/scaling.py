"""Print what the runtime costs as clusters grow, with shards that sleep in place of computing.

    python jobs/bench/scaling.py workers [--counts 1,8,64] [--seconds 1.0]
    python jobs/bench/scaling.py sums [--shards 16,64,256] [--megabytes 4]
    python jobs/bench/scaling.py deaths [--times 20]
    python jobs/bench/scaling.py checkpoints

The executor runs in this process, as it does in a run's driver. Workers ask for a CPU each of a
local Ray that is told to have as many as they need.
"""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
import typer
from schedule import numbers

from raybilevel import RunConfig, ScalingConfig
from raybilevel.problems.base import Output, Shard, Stage
from raybilevel.runtime.client import drive
from raybilevel.runtime.execution import tree_sum
from raybilevel.runtime.execution.executor import StageExecutor
from raybilevel.runtime.numbering import NumberedStage
from raybilevel.runtime.ray_session import ray_session
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.serialization import Serialized
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.nodes import kill_actor

app = typer.Typer(help=__doc__, add_completion=False)


@dataclass(frozen=True)
class Sleep:
    """What a worker is told to load: shards that sleep, and return sums of a size."""

    seconds: float
    floats: int = 1
    folder: str = ""

    def worker(self, device: str) -> Sleep:
        return self

    def run(self, shard: Nap, broadcast: Any, key: int) -> Output:
        began = time.time()
        if self.folder:
            Path(self.folder, f"{shard.round}-{shard.index}-{os.getpid()}").touch()
        time.sleep(self.seconds)
        sums = {"s": np.full(self.floats, float(shard.index), np.float32)}
        return Output(sums, {"began": np.array([began])}, nfe=1)


class Quiet:
    """Nobody watches."""

    def tick(self, workers: int, left: int) -> None:
        pass

    def say(self, sentence: str) -> None:
        print(f"# {sentence}", flush=True)


@contextmanager
def executor(problem: Any, workers: int) -> Iterator[StageExecutor]:
    """An executor with so many ready workers on a Ray of its own."""
    ray.init(
        "local", num_cpus=workers, include_dashboard=False, log_to_driver=False,
        logging_level=logging.ERROR, object_store_memory=4 * 10**9,
    )  # fmt: skip
    one = StageExecutor(
        Serialized.dump(problem), ScalingConfig(num_workers=workers), 0, Quiet(), idle_s=1e6
    )
    try:
        one.run(stage(0, workers))
        yield one
    finally:
        one.close()
        ray.shutdown()


@dataclass(frozen=True)
class Nap(Shard):
    """Where in the run it is."""

    round: int
    index: int


def stage(round_: int, size: int, broadcast: int = 1) -> NumberedStage:
    shards = tuple(Nap(round_, i) for i in range(size))
    return NumberedStage(round_, 0, Stage(shards, {"weights": np.zeros(broadcast, np.float32)}))


@app.command()
def workers(counts: str = "1,8,64", seconds: float = 1.0, each: int = 8) -> None:
    """Efficiency against the number of workers, with so many shards for each; the driver's CPU."""
    for count in numbers(counts):
        with executor(Sleep(seconds), count) as one:
            size = count * each
            started, cpu = time.monotonic(), time.process_time()
            one.run(stage(1, size))
            wall, cpu = time.monotonic() - started, time.process_time() - cpu
        print(
            f"{count:3d} workers: {size} shards of {seconds:g} s in {wall:.2f} s, efficiency "
            f"{each * seconds / wall:.3f}; driver CPU {1e3 * cpu / size:.2f} ms a shard",
            flush=True,
        )


@app.command()
def sums(
    shards: str = "16,64,256", megabytes: float = 4.0, count: int = 4, here: bool = False
) -> None:
    """What large sums cost the driver: time, CPU and memory of a stage against its shards.

    With `--here` they are all added by the driver.
    """
    if here:
        tree_sum._INLINE = 10**18
    floats = int(megabytes * 250_000)
    for size in numbers(shards):
        with executor(Sleep(0.0, floats), count) as one:
            one.run(stage(1, 16, floats))  # processes that add have started
            with peak() as memory:
                started, cpu = time.monotonic(), time.process_time()
                one.run(stage(2, size, floats))
                wall, cpu = time.monotonic() - started, time.process_time() - cpu
        print(
            f"{size:4d} shards of {megabytes:g} MB: {wall:.2f} s ({1e3 * wall / size:.1f} ms a "
            f"shard), driver CPU {cpu:.2f} s ({1e3 * cpu / size:.1f} ms a shard), the driver's own "
            f"memory grows by {memory[0] / 1e6:.0f} MB",
            flush=True,
        )


@contextmanager
def peak() -> Iterator[list[float]]:
    """Bytes by which this process's own memory, shared memory apart, grows at most."""
    process, over, most = psutil.Process(), threading.Event(), [0.0]

    def own() -> float:
        info = process.memory_info()
        return float(info.rss - info.shared)

    def watch() -> None:
        while not over.wait(0.01):
            most[0] = max(most[0], own() - base)

    base = own()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield most
    over.set()
    thread.join()


@app.command()
def deaths(times: int = 20, seconds: float = 2.0, count: int = 4) -> None:
    """Seconds from a worker's death by SIGKILL to its shard running elsewhere.

    Of four workers two are idle; with `--count 1` another has to be started.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder, executor(Sleep(seconds, 1, folder), count) as one:
        for round_ in range(1, times + 1):
            killed = []
            killer = threading.Thread(target=_kill_first, args=(Path(folder), round_, killed))
            killer.start()
            output, _ = one.run(stage(round_, 2))
            killer.join()
            found.append(float(output.rows["began"][0]) - killed[0])
    print(
        f"{count} workers: a shard runs elsewhere {statistics.median(found):.2f} s after its "
        f"worker's death, median of {times}; {max(found):.2f} s at worst"
    )


def _kill_first(folder: Path, round_: int, killed: list[float]) -> None:
    """Kill who runs shard 0, half a second after it began."""
    while not (marks := list(folder.glob(f"{round_}-0-*"))):
        time.sleep(0.01)
    time.sleep(0.5)
    killed.append(time.time())
    kill_actor(int(marks[0].name.split("-")[2]))


@app.command()
def checkpoints(rounds: int = 20) -> None:
    """The share of a training's rounds in which the driver waits for a checkpoint; its bytes."""
    from training import BATCH, INNER, SHARDS, fixed

    problem = fixed("digits", "cosine", 3 * rounds * SHARDS * INNER * BATCH, [5])
    with tempfile.TemporaryDirectory() as folder, ray_session("local"):
        run = RunConfig(name="run", storage_path=folder, max_rounds=rounds)
        drive(
            RunSpec(problem, ScalingConfig(num_workers=(1, 2)), run, "run"), lambda progress: None
        )
        history = RunDirectory(folder, "run").read_table("history").iloc[1:]
        newest = sorted(Path(folder, "run/checkpoints").iterdir())[-1]
        size = sum(file.stat().st_size for file in newest.iterdir())
    seconds = history["time_total_s"].diff().iloc[1:].sum()
    waited = history["checkpoint_wait_s"].iloc[1:].sum()
    print(
        f"{len(history) - 1} rounds of {seconds / (len(history) - 1):.2f} s, of which "
        f"{waited / seconds:.2%} waiting for a checkpoint of {size / 1e6:.1f} MB; a round sends "
        f"{history['broadcast_bytes'].median() / 1e6:.1f} MB to every node, its shards return "
        f"{history['returned_bytes'].median() / 1e6:.1f} MB in all"
    )


if __name__ == "__main__":
    app()
