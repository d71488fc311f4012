"""Images a second of a text-to-image pipeline through workers, over a plain loop of its stock call.

    python jobs/bench/pipelines.py [--model mnist-sd] [--images 768] [--repeats 3]

The plain loop is a process of its own with torch's default threads and the batch that is fastest
there. One worker of as many threads, and as many workers of one, draw the same number of images;
all are timed once they have loaded, interleaved. Printed are medians, and of ratios those of pairs
that were timed together.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Annotated

import numpy as np
import typer

from raybilevel import RewardTuning, RunConfig, ScalingConfig
from raybilevel.lower.pretrained import pipeline_directory
from raybilevel.runtime.client import drive
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.storage import RunDirectory

PROMPTS = ("a thin seven", "a thick three", "a small zero")
STEPS, GUIDANCE = 20, 3.0
BATCHES = (16, 32, 64)
ROUNDS = 4

_PLAIN = """
import sys, time, torch
from diffusers import DiffusionPipeline
model, images, size, steps, guidance, *prompts = sys.argv[1:]
images, size = int(images), int(size)
pipeline = DiffusionPipeline.from_pretrained(model)
pipeline.set_progress_bar_config(disable=True)
def draw(first):
    generators = [torch.Generator().manual_seed(first + i) for i in range(size)]
    said = [prompts[(first + i) % len(prompts)] for i in range(size)]
    pipeline(said, generator=generators, num_inference_steps=int(steps),
             guidance_scale=float(guidance), output_type="np").images.mean(axis=(1, 2, 3))
draw(0)
started = time.time()
for first in range(0, images, size):
    draw(first)
print(images / (time.time() - started))
"""


def plain(model: str, images: int, batch: int) -> float:
    """Images a second of a plain loop."""
    arguments = [model, images, batch, STEPS, GUIDANCE, *PROMPTS]
    found = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _PLAIN, *map(str, arguments)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(found.stdout.split()[-1])


def through_workers(
    model: str, images: int, batch: int, workers: int, cpus: int
) -> tuple[float, float]:
    """Images a second of the rounds after the first, which waits for the workers.

    And the share of that time which workers spent in shards: the rest is the driver's, which solves
    on the pool between rounds, and the way of shards and rows.
    """
    problem = RewardTuning(
        model=model, prompts=PROMPTS, lower_reward="ink", upper_reward="ink",
        pool_size=images, max_pool_size=images, round_size=images // ROUNDS, shard_size=batch,
        sampling_steps=STEPS, call_options={"guidance_scale": GUIDANCE},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = RunConfig(name="bench", storage_path=folder, max_rounds=ROUNDS - 1)
        scaling = ScalingConfig(num_workers=workers, cpus_per_worker=cpus)
        drive(RunSpec(problem, scaling, run, "bench"), lambda progress: None)
        history = RunDirectory(folder, "bench").read_table("history")
    drawn, seconds = np.diff(history["pool_size"]).sum(), np.diff(history["time_total_s"]).sum()
    inside = np.diff(history["worker_seconds_total"]).sum()
    return float(drawn / seconds), float(inside / (workers * seconds))


def main(
    model: Annotated[
        str, typer.Option(help="Directory, or name of one that comes along.")
    ] = "mnist-sd",
    images: Annotated[int, typer.Option(min=96, help="Of each measurement.")] = 768,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Print images a second, and ratios."""
    import torch

    directory, cores = str(pipeline_directory(model)), torch.get_num_threads()
    tried = {batch: plain(directory, images // ROUNDS, batch) for batch in BATCHES}
    best = max(tried, key=lambda batch: tried[batch])
    print("plain loop:", ", ".join(f"batch {b}: {r:.1f} images/s" for b, r in tried.items()))
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        "plain": lambda: (plain(directory, images, best), 1.0),
        f"1 worker of {cores}": lambda: through_workers(model, images, best, 1, cores),
        f"{cores} workers of 1": lambda: through_workers(model, images, best, cores, 1),
    }
    found = {name: [] for name in ways}
    for _ in range(repeats):
        for name, measure in ways.items():
            found[name].append(measure())
    base = [rate for rate, _ in found["plain"]]
    for name, results in found.items():
        rates, inside = zip(*results, strict=True)
        ratios = [rate / by for rate, by in zip(rates, base, strict=True)]
        print(
            f"{name}: {statistics.median(rates):.1f} images/s, "
            f"{statistics.median(ratios):.3f} of plain (pairs {min(ratios):.3f} to "
            f"{max(ratios):.3f}); {statistics.median(inside):.3f} of the time in shards"
        )


if __name__ == "__main__":
    typer.run(main)
