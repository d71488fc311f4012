"""Print what tuning a sampling schedule gains, and whether its parts are what they claim.

    python jobs/bench/schedule.py gain [--data digits] [--steps 4,5,8,10,20] [--seeds 5,6,7,8,9]
    python jobs/bench/schedule.py starts [--data digits] [--steps 4,12] [--seeds 5,6,7,8,9]
    python jobs/bench/schedule.py optimality [--steps 5,10] [--seeds 5,6,7] [--schedules 100]
    python jobs/bench/schedule.py estimator
    python jobs/bench/schedule.py speed

Settings were chosen on seeds 0 to 4; the defaults here were looked at once, afterwards. A seed
decides the noises that are tuned on and those that are compared on; the network is one for all.
Everything runs without Ray, in as many processes of one thread as there are cores.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from scipy.stats import t as student

from raybilevel import RunConfig, SamplingSchedule
from raybilevel.metrics.fid_kid import FrechetTo, Moments, jackknife
from raybilevel.problems.schedule.comparison import OURS, frame
from raybilevel.problems.schedule.real_images.objective import measure
from raybilevel.problems.schedule.real_images.reference import Reference
from raybilevel.problems.schedule.shards import Noise, Sample
from raybilevel.problems.seeds import sample_seeds
from raybilevel.runtime.rounds import run_locally
from raybilevel.upper.optimisers.zeroth_order import Pairs, draw_directions

app = typer.Typer(help=__doc__, add_completion=False)
CHUNK = 128


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def in_processes(function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterable[Any]:
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), one_thread) as pool:
        yield from pool.imap(call, [(function, task) for task in tasks])


def one_thread() -> None:
    from raybilevel.runtime.threads import fix_threads

    fix_threads(1)


def call(work: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
    function, task = work
    return function(*task)


def problem(data: str, steps: int, samples: int = 512, **changes: Any) -> SamplingSchedule:
    estimation = {"samples": samples, "shard_size": CHUNK}
    return SamplingSchedule(
        model=data, data=data, sampling_steps=steps, estimation=estimation, **changes
    )


# --- gain ---------------------------------------------------------------------------------------


@app.command()
def gain(
    data: str = "digits",
    steps: str = "4,5,8,10,20",
    seeds: str = "5,6,7,8,9",
    samples: Annotated[int, typer.Option(help="Samples an evaluation.")] = 512,
    updates: Annotated[int, typer.Option(help="Updates.")] = 12,
    compared: Annotated[int, typer.Option(help="Fresh samples compared on.")] = 2048,
    solver: str = "dpm++",
) -> None:
    tasks = [
        (data, n, seed, samples, updates, compared, solver)
        for n in numbers(steps)
        for seed in numbers(seeds)
    ]
    tables, costs, floors = [], [], (math.nan, math.nan)
    for (_, n, seed, *_), (table, nfe, floor, seconds) in zip(
        tasks, in_processes(_tuned, tasks), strict=True
    ):
        floors = floor
        tables.append(table.assign(seed=seed))
        costs.append(nfe)
        print(f"# {n} steps, seed {seed}: {nfe:,} NFE of tuning, {seconds:.0f} s", flush=True)
    print(f"real against real: FID {floors[0]:.3f}, by the second extractor {floors[1]:.3f}")
    _print_gain(pd.concat(tables))
    print(f"NFE of tuning: {min(costs):,} to {max(costs):,}")


def _tuned(
    data: str, steps: int, seed: int, samples: int, updates: int, compared: int, solver: Any
) -> tuple[pd.DataFrame, int, tuple[float, float], float]:
    started = time.monotonic()
    p = problem(
        data, steps, samples, optimizer={"updates": updates}, comparison={"samples": compared},
        solver=solver,
    )  # fmt: skip
    run, rows = run_locally(p, RunConfig(seed=seed))
    table = frame(
        run.state["comparison"], p.rounds.subjects(run.state), run.state["comparison_steps"]
    )
    floors = rows[-1]["fid_floor"], rows[-1]["fid_second_floor"]
    return (
        table,
        int(rows[-1]["nfe_total"] - rows[-1]["nfe_comparison"]),
        floors,
        time.monotonic() - started,
    )


def _print_gain(tables: pd.DataFrame) -> None:
    """Means over seeds; intervals of the paired difference by Student's t over seeds."""
    print("steps  subject                  FID   learned minus it, 95 %   FID 2nd  minus it, 95 %"
          "              KID  minus it, 95 %")  # fmt: skip
    for n, here in tables.groupby("steps"):
        order = here.groupby("subject")["fid"].mean().sort_values().index
        for name in order:
            rows = here[here["subject"] == name]
            cells = [
                f"{scale * rows[column].mean():8.3f} {_interval(scale * rows[gap]):>22s}"
                for column, gap, scale in (
                    ("fid", "fid_gap", 1),
                    ("fid_second", "fid_gap_second", 1),
                    ("kid", "kid_gap", 1),
                )
            ]
            print(f"{n:5d}  {name:21s}{' '.join(cells)}")
        stock = here[~here["subject"].isin(OURS)].groupby("subject")["fid"].mean()
        best = here[here["subject"] == stock.idxmin()]
        learned = here[here["subject"] == "learned"]["fid"].mean()
        gaps = here[~here["subject"].isin(OURS)].groupby("subject")["fid_gap"]
        high = max(_bounds(gap)[1] for _, gap in gaps)
        share = 1 - learned / best["fid"].mean()
        below = "yes" if high < 0 else "no"
        print(
            f"{n:5d}  gain over the best stock scheduler ({stock.idxmin()}): {share:.0%}; ", end=""
        )
        print(f"every interval below zero: {below}")


def _bounds(gaps: pd.Series) -> tuple[float, float]:
    margin = student.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps))
    return gaps.mean() - margin, gaps.mean() + margin


def _interval(gaps: pd.Series) -> str:
    low, high = _bounds(gaps)
    return f"({low:+.3f} to {high:+.3f})"


# --- starts -------------------------------------------------------------------------------------


@app.command()
def starts(
    data: str = "digits",
    steps: str = "4,12",
    seeds: str = "5,6,7,8,9",
    compared: Annotated[int, typer.Option(help="Fresh samples that order them.")] = 2048,
) -> None:
    """Where the search begins, among all starts in the order of their FID on fresh noises."""
    for n in numbers(steps):
        found = list(in_processes(_begin, [(data, n, seed) for seed in numbers(seeds)]))
        (scores,) = in_processes(_score_starts, [(data, n, compared)])
        order = np.sort(scores)
        places = [int(np.searchsorted(order, scores[chosen])) + 1 for chosen, _ in found]
        begun = np.array([scores[chosen] for chosen, _ in found])
        print(
            f"{n} steps: FID of {len(order)} starts, the best {np.round(order[:4], 2)}, median "
            f"{np.median(order):.2f}; begun at {begun.mean():.2f}, places {places}; "
            f"{found[0][1]:,} NFE",
            flush=True,
        )


def _begin(data: str, steps: int, seed: int) -> tuple[int, int]:
    """Which start the search begins at, and what looking for it costs."""
    p = SamplingSchedule(model=data, data=data, sampling_steps=steps)
    run, _ = run_locally(p, RunConfig(seed=seed, max_rounds=1))
    begun = run.state["x_start"]
    places = [i for i, x in enumerate(p.rounds.starts().points) if np.array_equal(x, begun)]
    return places[0], int(run.ledger.nfe_total)


def _score_starts(data: str, steps: int, samples: int) -> np.ndarray:
    """FID of every start (starts,), without bias, on noises that no run has seen."""
    p = problem(data, steps)
    start = {"x": p.space.schedule.init}
    run, _ = run_locally(p.evaluation([start]), RunConfig(seed=0))
    score, objective = Scorer(p, run.state), p.rounds.objective(run.state)
    levels = [p.space.levels(x) for x in p.rounds.starts().points]
    return np.array([measure(objective, score.moments(at, 0, samples))[0] for at in levels])


# --- optimality ---------------------------------------------------------------------------------


@app.command()
def optimality(
    data: str = "digits",
    steps: str = "5,10",
    seeds: str = "5,6,7",
    schedules: Annotated[int, typer.Option(help="Random schedules of the same box.")] = 100,
    samples: int = 512,
    updates: int = 12,
) -> None:
    """Learned levels beside the best five of random ones, on five fresh sets of noises."""
    tasks = [
        (data, n, seed, schedules, samples, updates)
        for n in numbers(steps)
        for seed in numbers(seeds)
    ]
    for (_, n, seed, *_), (learned, top) in zip(tasks, in_processes(_against, tasks), strict=True):
        gap = (learned - top) / top
        margin = student.ppf(0.975, len(gap) - 1) * gap.std(ddof=1) / math.sqrt(len(gap))
        print(
            f"{n} steps, seed {seed}: learned {learned.mean():.3f}, best of {schedules} random "
            f"{top.mean():.3f}, gap {gap.mean():+.1%}, lower 95 % bound {gap.mean() - margin:+.1%}",
            flush=True,
        )


def _against(
    data: str, steps: int, seed: int, schedules: int, samples: int, updates: int
) -> tuple[np.ndarray, np.ndarray]:
    p = problem(data, steps, samples, optimizer={"updates": updates}, comparison={"samples": 128})
    run, _ = run_locally(p, RunConfig(seed=seed))
    score = Scorer(p, run.state)
    rng = np.random.default_rng(seed)
    random = [_random_levels(p, rng) for _ in range(schedules)]
    first = [score(levels, 0, samples) for levels in random]
    top = [random[i] for i in np.argsort(first)[:5]]
    fresh = range(1, 6)
    learned = p.space.levels(run.state["x"])
    scores = np.array([[score(levels, i, 1024) for i in fresh] for levels in top])
    ours = np.array([score(learned, i, 1024) for i in fresh])
    return ours, scores[scores.mean(axis=1).argmin()]


def _random_levels(p: SamplingSchedule, rng: np.random.Generator) -> np.ndarray:
    """Uniform in the box, put into order: what a random search over levels would try."""
    low, high = np.array([(v.low, v.high) for v in p.variables]).T
    return p.space.levels(p.space.schedule.project(np.sort(rng.uniform(low, high))))


class Scorer:
    """FID of levels on a numbered set of noises that no run has seen."""

    def __init__(self, p: SamplingSchedule, state: dict[str, np.ndarray]) -> None:
        reference = Reference.of(state, "objective")
        assert reference is not None
        self._worker, self._to = p.worker("cpu"), FrechetTo(reference.train)
        self._base = state["seed_base"]

    def moments(self, levels: np.ndarray, number: int, samples: int) -> list[Moments]:
        seeds = sample_seeds(
            self._base, (number + 1) << 12, ((number + 1) << 12) + samples // CHUNK
        )
        shards = [Sample(tuple(levels.tolist()), Noise(seed, CHUNK)) for seed in seeds]
        rows = [self._worker.run(shard, {}, 0).rows for shard in shards]
        return [Moments(float(r["count"][0]), r["sum"][0], r["outer"][0]) for r in rows]

    def __call__(self, levels: np.ndarray, number: int, samples: int) -> float:
        chunks = self.moments(levels, number, samples)
        return self._to(sum(chunks[1:], start=chunks[0]))

    @property
    def to(self) -> FrechetTo:
        return self._to


# --- estimator ----------------------------------------------------------------------------------


@app.command()
def estimator(
    data: str = "digits", steps: int = 5, samples: int = 256, replicates: int = 200
) -> None:
    """Bias and 1/m law of the gradient, and what common random numbers save."""
    one_thread()
    p = problem(data, steps, samples)
    # its state knows the real images
    run, _ = run_locally(p.evaluation([{"x": p.space.schedule.init}]), RunConfig(seed=0))
    score, space = Scorer(p, run.state), p.space
    u = space.to_unit(space.nearest(np.linspace(-4.5, 4.0, steps)))
    d, delta = len(u), space.delta

    def f(point: np.ndarray, number: int = 0) -> float:
        return score(space.levels(space.from_unit(point)), number, samples)

    _print_bias(f, u, d, delta, replicates)
    _print_common(score, space, u, d, delta, samples)


def _print_bias(
    f: Callable[..., float], u: np.ndarray, d: int, delta: float, replicates: int
) -> None:
    truth = Pairs(u, np.eye(d), delta)
    g = truth.gradient(np.array([f(x) for x in truth.points]))
    print(f"finite differences at the same delta: {np.round(g, 2)}")
    rng, found = np.random.default_rng(0), []
    for _ in range(replicates):
        pairs = Pairs(u, draw_directions(rng, 1, d, "independent"), delta)
        found.append(pairs.gradient(np.array([f(x) for x in pairs.points])))
    one = np.array(found)
    z = (one.mean(axis=0) - g) / (one.std(axis=0, ddof=1) / math.sqrt(replicates))
    print(
        f"one independent direction, {replicates} times: bias in standard errors {np.round(z, 2)}"
    )
    for m in (1, 2, 4, 8):
        means = one[: replicates // m * m].reshape(-1, m, d).mean(axis=1)
        print(f"  m = {m}: m * variance {m * means.var(axis=0, ddof=1).sum():.1f}")


def _print_common(
    score: Scorer, space: Any, u: np.ndarray, d: int, delta: float, samples: int
) -> None:
    """Variance of one slope over sets of noises, with both sides on the same, and on different."""
    direction = draw_directions(np.random.default_rng(1), 1, d)
    pairs = Pairs(u, direction, delta)
    plus, minus = (space.levels(space.from_unit(x)) for x in pairs.points)
    ups = np.array([score(plus, i, samples) for i in range(24)])
    downs = np.array([score(minus, i, samples) for i in range(24)])
    common = np.var(ups - downs, ddof=1)
    apart = np.var(ups - np.roll(downs, 1), ddof=1)
    print(f"variance of a pair's difference: {common:.3g} on common noises, ", end="")
    print(f"{apart:.3g} on different ones: a factor of {apart / common:,.0f}")
    sets = score.moments(plus, 0, 2048), score.moments(minus, 0, 2048)
    _, se = jackknife(lambda a, b: score.to(a) - score.to(b), *sets)
    scaled = math.sqrt(common * samples / 2048)
    print(
        f"jackknife standard error of that difference on 2,048 samples: {float(se):.3g}; ", end=""
    )
    print(f"its spread on {samples}, scaled: {scaled:.3g}")


# --- speed --------------------------------------------------------------------------------------


@app.command()
def speed(data: str = "digits", steps: int = 10, batch: int = 256, repeats: int = 9) -> None:
    """Images a second of our DDIM against the stock DDIMPipeline, one after the other."""
    import torch
    from diffusers import DDIMPipeline

    from raybilevel.lower.pretrained import pipeline_directory
    from raybilevel.lower.sampling.level_sampler import LevelSampler

    one_thread()
    directory = pipeline_directory(data)
    sampler = LevelSampler.open(directory, "ddim")
    stock = DDIMPipeline.from_pretrained(str(directory))
    stock.set_progress_bar_config(disable=True)
    train_steps = len(sampler.info.logsnr)
    if train_steps % steps:
        raise typer.BadParameter(f"steps must divide {train_steps}")
    levels = sampler.info.logsnr[np.arange(train_steps, 0, -train_steps // steps) - 1]

    def ours() -> None:
        sampler.sample(sampler.noise(0, batch), levels.tolist())

    def theirs() -> None:
        generator = torch.Generator().manual_seed(0)
        stock(batch, generator=generator, num_inference_steps=steps, output_type="np")

    ours(), theirs()
    ratios = []
    for _ in range(repeats):
        ours_s, theirs_s = _seconds(ours), _seconds(theirs)
        ratios.append(theirs_s / ours_s)
    rates = [batch / seconds for seconds in (ours_s, theirs_s)]
    print(f"images a second, last pair: ours {rates[0]:,.0f}, stock {rates[1]:,.0f}; ", end="")
    low, mid, high = min(ratios), np.median(ratios), max(ratios)
    print(f"ratio, median of {repeats}: {mid:.3f} ({low:.3f} to {high:.3f})")


def _seconds(function: Callable[[], None]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


if __name__ == "__main__":
    app()
