"""Images a second of a text-to-image pipeline through workers, over a plain loop of its stock call.

    python jobs/bench/pipelines.py [--model mnist-sd] [--images 768] [--repeats 3]

The plain loop is a process of its own with torch's default threads and the batch that is fastest
there. One worker of as many threads, and as many workers of one, draw the same number of images;
all are timed once they have loaded, interleaved. Printed are the medians, and their ratios.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
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


def through_workers(model: str, images: int, batch: int, workers: int, cpus: int) -> float:
    """Images a second of the rounds after the first, which waits for the workers."""
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
    drawn = np.diff(history["pool_size"]).sum()
    return float(drawn / np.diff(history["time_total_s"]).sum())


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
    ways = {
        "plain": lambda: plain(directory, images, best),
        f"1 worker of {cores}": lambda: through_workers(model, images, best, 1, cores),
        f"{cores} workers of 1": lambda: through_workers(model, images, best, cores, 1),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, measure in ways.items():
            rates[name].append(measure())
    base = statistics.median(rates["plain"])
    for name, found in rates.items():
        ratios = [r / p for r, p in zip(found, rates["plain"], strict=True)]
        print(
            f"{name}: {statistics.median(found):.1f} images/s, "
            f"{statistics.median(found) / base:.3f} "
            f"of plain (pairs {min(ratios):.3f} to {max(ratios):.3f})"
        )


if __name__ == "__main__":
    typer.run(main)
