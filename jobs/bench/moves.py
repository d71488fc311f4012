"""Print NFE a second of samples that are moved, over those of a pool's.

    python jobs/bench/moves.py CONFIG [KEY=VALUE ...] [--repeats 20] [--threads 2]

The ladder of CONFIG is begun in this process; then one worker draws shards of p0's samples and
moves chains of the next rung by turns, as many of both, so that a noisy machine is so for both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from raybilevel import RunConfig
from raybilevel.config_file import read
from raybilevel.problems.base import Output
from raybilevel.problems.reward.problem import RewardTuning
from raybilevel.problems.reward.shards import MoveParticles
from raybilevel.runtime.rounds import Run, run_stage
from raybilevel.runtime.threads import fix_threads

_MOVES = 2  # of the rung's chains, in a measurement

Rate = tuple[float, float]
"""NFE a second, of all and of the sampler alone."""


def rate(work: Callable[[], list[Output]]) -> Rate:
    """Of what is drawn."""
    begun = time.perf_counter()
    done = work()
    seconds = time.perf_counter() - begun
    nfe = sum(output.nfe for output in done)
    return nfe / seconds, nfe / sum(output.seconds["denoiser"] for output in done)


def at_the_ladder(problem: RewardTuning, worker: Any, seed: int) -> Run:
    """A run whose next round moves samples."""
    run = Run.begin(problem, RunConfig(seed=seed))
    while run.stop is None and "rungs_scale" not in run.state:
        run.play(lambda stage: run_stage(stage, worker, run, 1))
    return run


def main(
    config: Path,
    overrides: Annotated[list[str] | None, typer.Argument()] = None,
    repeats: Annotated[int, typer.Option(min=2)] = 20,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Measure, and print."""
    fix_threads(threads)
    problem = read(config, ["estimator=annealed", *(overrides or [])]).problem
    assert isinstance(problem, RewardTuning), "a configuration of a reward problem"
    worker = problem.worker("cpu")
    run = at_the_ladder(problem, worker, 0)
    stage = next(problem.run_round(run.round, run.state))
    chains = stage.shards[0]
    assert isinstance(chains, MoveParticles), "the next round moves samples"
    chains = replace(chains, seeds=chains.seeds[:_MOVES])
    pool = problem.pool_plan.of_samples(run.state, 0, _MOVES * len(chains.lineages))

    def drawn() -> list[Output]:
        return [worker.run(shard, {}, 0) for shard in pool]

    def moved() -> list[Output]:
        return [worker.run(chains, {}, 0)]

    rates = np.array([[rate(drawn), rate(moved)] for _ in range(repeats)])[1:]
    of_pool, of_moves = np.median(rates, axis=0)
    ratios = np.median(rates[:, 1] / rates[:, 0], axis=0)
    print(f"{len(chains.lineages)} chains of {len(stage.shards)} shards; medians of {repeats - 1}")
    print(f"p0      {of_pool[0]:8,.0f} NFE a second, of the sampler alone {of_pool[1]:8,.0f}")
    print(f"moved   {of_moves[0]:8,.0f} NFE a second, of the sampler alone {of_moves[1]:8,.0f}")
    print(f"ratio   {ratios[0]:8.3f}, of the sampler alone {ratios[1]:.3f}")


if __name__ == "__main__":
    typer.run(main)
