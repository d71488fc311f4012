"""Images a second of a text-to-image pipeline through workers, over a plain loop of its stock call.

    python jobs/bench/pipelines.py [--model mnist-sd] [--images 768] [--repeats 3]

The plain loop is a process of its own with torch's default threads and the batch that is fastest
there. One worker of as many threads, and as many workers of one, draw the same number of images;
all are timed once they have loaded, interleaved. Printed are medians, and of ratios those of pairs
that were timed together. CPU seconds an image are the processes' own, which other work on the
machine changes less than it does the time.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Annotated

import numpy as np
import torch
import typer
from diffusers import DiffusionPipeline
from torch import Tensor

from raybilevel import RewardTuning, RunConfig, ScalingConfig, Variable
from raybilevel.lower.pretrained import pipeline_directory
from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.shards import DrawRewards
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.client import drive
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.storage import RunDirectory

PROMPTS = ("a thin seven", "a thick three", "a small zero")
STEPS, GUIDANCE = 20, 3.0
BATCHES = (16, 32, 64)
ROUNDS, PAIRS = 4, 10


@dataclass(frozen=True)
class Speed:
    """Of one way to draw.

    Attributes
    ----------
    rate : images a second.
    cpu : seconds an image, of the processes that draw.
    inside : share of the time that workers spent in shards: the rest is the driver's, which solves
        on the pool between rounds, and the way of shards and rows.
    """

    rate: float
    cpu: float
    inside: float = 1.0


def plain(model: str, images: int, batch: int) -> Speed:
    """A plain loop, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(_plain, model, images, batch).result()


def _plain(model: str, images: int, batch: int) -> Speed:
    pipeline = _quiet(model)
    _draw(pipeline, range(batch))
    begun, used = time.perf_counter(), time.process_time()
    for first in range(0, images, batch):
        _draw(pipeline, range(first, first + batch))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    return Speed(images / seconds, cpu / images)


def _quiet(model: str) -> DiffusionPipeline:
    pipeline = DiffusionPipeline.from_pretrained(model)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _draw(pipeline: DiffusionPipeline, seeds: Sequence[int]) -> None:
    """By the stock call."""
    drawn = pipeline(
        [PROMPTS[seed % len(PROMPTS)] for seed in seeds],
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        num_inference_steps=STEPS, guidance_scale=GUIDANCE, output_type="np",
    )  # fmt: skip
    drawn.images.mean(axis=(1, 2, 3))


def process_time(samples: Tensor) -> Tensor:
    """As a reward: the worker's CPU seconds so far."""
    return torch.full((len(samples),), time.process_time())


def process_id(samples: Tensor) -> Tensor:
    """As a reward: which worker it is."""
    return torch.full((len(samples),), float(os.getpid()))


def _problem(model: str, images: int, batch: int) -> RewardTuning:
    return RewardTuning(
        model=model, prompts=PROMPTS, lower_reward={"ink": "ink", "worker": process_id},
        weights={"ink": Variable("w", 1.0, 0.0, 2.0), "worker": 0.0}, lambda_=1.0,
        upper_reward="ink", held_out_reward=process_time,
        pool_size=images, max_pool_size=images, round_size=images // ROUNDS, shard_size=batch,
        sampling_steps=STEPS, call_options={"guidance_scale": GUIDANCE},
    )  # fmt: skip


def in_one_process(model: str, batch: int) -> list[float]:
    """CPU seconds of the stock call over those of a worker's shard, in turns on one thread."""
    torch.set_num_threads(1)
    worker, pipeline = _problem(model, ROUNDS * batch, batch).worker("cpu"), _quiet(model)
    ratios = []
    for first in range(0, (1 + PAIRS) * batch, batch):
        seeds = range(first, first + batch)
        shard = DrawRewards(tuple(seeds), tuple(seed % len(PROMPTS) for seed in seeds))
        begun = time.process_time()
        _draw(pipeline, seeds)
        between = time.process_time()
        worker.run(shard, {}, 0)
        ratios.append((between - begun) / (time.process_time() - between))
    return ratios[1:]


def through_workers(model: str, images: int, batch: int, workers: int, cpus: int) -> Speed:
    """The rounds after the first, which waits for the workers."""
    problem = _problem(model, images, batch)
    with tempfile.TemporaryDirectory() as folder:
        run = RunConfig(name="bench", storage_path=folder, max_rounds=ROUNDS - 1)
        scaling = ScalingConfig(num_workers=workers, cpus_per_worker=cpus)
        drive(RunSpec(problem, scaling, run, "bench"), lambda progress: None)
        directory = RunDirectory(folder, "bench")
        history, checkpoint = directory.read_table("history"), Checkpoints(directory).read()
    assert checkpoint is not None, "a run that has ended has one"
    drawn, seconds = np.diff(history["pool_size"]).sum(), np.diff(history["time_total_s"]).sum()
    inside = np.diff(history["worker_seconds_total"]).sum() / (workers * seconds)
    return Speed(float(drawn / seconds), _cpu(checkpoint.state), float(inside))


def _cpu(state: Arrays) -> float:
    """Seconds an image after each worker's first shard."""
    of, used = state["pool/lower.worker"], state["pool/held_out"]
    spans = [(used[of == worker], used[of == worker].min()) for worker in np.unique(of)]
    images = sum(int((times > first).sum()) for times, first in spans)
    return float(sum(times.max() - first for times, first in spans)) / images


def main(
    model: Annotated[
        str, typer.Option(help="Directory, or name of one that comes along.")
    ] = "mnist-sd",
    images: Annotated[int, typer.Option(min=96, help="Of each measurement.")] = 768,
    repeats: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Print images a second, and ratios."""
    directory, cores = str(pipeline_directory(model)), torch.get_num_threads()
    tried = {batch: plain(directory, images // ROUNDS, batch) for batch in BATCHES}
    best = max(tried, key=lambda batch: tried[batch].rate)
    print("plain loop:", ", ".join(f"batch {b}: {s.rate:.1f} images/s" for b, s in tried.items()))
    ways: dict[str, Callable[[], Speed]] = {
        "plain": lambda: plain(directory, images, best),
        f"1 worker of {cores}": lambda: through_workers(model, images, best, 1, cores),
        f"{cores} workers of 1": lambda: through_workers(model, images, best, cores, 1),
    }
    found: dict[str, list[Speed]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, measure in ways.items():
            found[name].append(measure())
    for name, speeds in found.items():
        _print(name, speeds, found["plain"])
    ours = in_one_process(directory, best)
    print(
        f"a worker's shard in the process of the stock call, by CPU seconds: "
        f"{statistics.median(ours):.3f} of it ({min(ours):.3f} to {max(ours):.3f})"
    )


def _print(name: str, speeds: list[Speed], plain: list[Speed]) -> None:
    """Medians, and ratios to what was timed beside it."""
    pairs = list(zip(speeds, plain, strict=True))
    ratios = [one.rate / base.rate for one, base in pairs]
    cpu = [base.cpu / one.cpu for one, base in pairs]
    print(
        f"{name}: {statistics.median(s.rate for s in speeds):.1f} images/s, "
        f"{statistics.median(ratios):.3f} of plain (pairs {min(ratios):.3f} to {max(ratios):.3f}); "
        f"by CPU seconds an image {statistics.median(cpu):.3f} ({min(cpu):.3f} to {max(cpu):.3f}); "
        f"{statistics.median(s.inside for s in speeds):.3f} of the time in shards"
    )


if __name__ == "__main__":
    typer.run(main)
