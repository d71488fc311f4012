"""lambda*, two weights and lambda by group over 200 prompts, beside a pool ten times as large.

    python jobs/bench/many_prompts.py DIRECTORY [--prompts 200] [--each 64] [--times 10] [--seeds 3]

mnist-sd draws; half of the prompts ask for thin digits, half for thick ones. Each seed's pool and a
large one of another seed, are drawn on Ray and kept as tables in DIRECTORY; what is there is not
drawn again. All three questions are answered from each table. Printed is whether each interval for
these prompts holds what the large pool says, and how much worse the large pool finds where
the small one ended.
166,400 images by default.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from raybilevel import RewardTuning, RunConfig, ScalingConfig, Variable
from raybilevel.problems.base import Arrays
from raybilevel.rewards.asked_digit import DIGITS
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.client import drive
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.storage import RunDirectory

REWARDS = {"ink": "ink", "size": "jpeg_size"}
INK, SIZE = {"thin": 0.11, "thick": 0.16}, 0.52  # of p0 0.08, 0.12 and 0.53
PRICES = {"of_lambda": (20.0, 10.0), "of_weights": (30.0, 30.0)}  # of ink and size
GROUPS = tuple(INK)
SIZES = ("", ", small", ", large")
PLACES = ("", ", to the left", ", to the right", *(
    f", at the {end}{side}" for end in ("top", "bottom") for side in ("", " left", " right")
))  # fmt: skip
FIRST_SEED = 2000  # not used to choose anything; the large pool's is the next after the small ones'
AT_ONCE, A_ROUND = 50, 6_400  # samples a shard, and between checkpoints


def lambda_(name: str) -> Variable:
    return Variable(name, 0.3, 0.02, 3.0, "log")


def questions() -> dict[str, dict[str, Any]]:
    """Arguments of the problem.

    What is wanted is a readable digit of a group's ink and of a size; with weights the prices are
    others, since an optimum inside is to be found.
    """
    ink = {"ink": 1.0, "size": 0.0}
    weights = {"ink": Variable("w_ink", 0.0, -60, 60), "size": Variable("w_size", 0.0, -60, 60)}
    by_group = {group: lambda_("lambda") for group in GROUPS}
    return {
        "lambda": {
            "lambda_": lambda_("lambda"),
            "weights": ink,
            "upper_reward": "column:of_lambda",
        },
        "two weights": {"lambda_": 1.0, "weights": weights, "upper_reward": "column:of_weights"},
        "lambda by group": {
            "lambda_": by_group,
            "weights": ink,
            "upper_reward": "column:of_lambda",
        },
    }


def prompts_table(count: int, directory: Path) -> Path:
    """So many prompts, half of each group, chosen once for all seeds."""
    rng, rows = np.random.default_rng(0), []
    for group in GROUPS:
        said = itertools.product(DIGITS, SIZES, PLACES)
        own = [f"a {group} {digit}{size}{place}" for digit, size, place in said]
        chosen = np.sort(rng.choice(len(own), count // len(GROUPS), replace=False))
        rows += [{"prompt": own[i], "group": group} for i in chosen]
    path = directory / "prompts.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def pool(prompts: Path, size: int, seed: int, directory: Path) -> Path:
    """A table of the rewards of so many samples, drawn where it is not there."""
    path = directory / f"rewards-{size}-{seed}.parquet"
    if not path.exists():
        drawn(prompts, size, seed, directory).to_parquet(path)
    return path


def drawn(prompts: Path, size: int, seed: int, directory: Path) -> pd.DataFrame:
    """Prompts, groups and rewards of samples of p0, from two workers."""
    problem = RewardTuning(
        model="mnist-sd", prompts=str(prompts), lower_reward=REWARDS, upper_reward="asked_digit",
        sampling_steps=20, call_options={"guidance_scale": 1.0}, shard_size=AT_ONCE,
        lambda_=lambda_("lambda"), weights={"ink": 1.0, "size": 0.0},
    )  # fmt: skip
    name, folder = f"pool-{size}-{seed}", str(directory.absolute() / "runs")
    run = RunConfig(name=name, storage_path=folder, seed=seed)
    start = {"x": np.array([v.init for v in problem.variables])}
    evaluation = problem.evaluation([start], size, rounds=max(size // A_ROUND, 1))
    drive(RunSpec(evaluation, ScalingConfig(num_workers=2), run, name), lambda progress: None)
    checkpoint = Checkpoints(RunDirectory(folder, name)).read()
    assert checkpoint is not None, "a run that has ended has one"
    state = checkpoint.state
    frame = pd.read_parquet(prompts).iloc[state["pool/prompt"]].reset_index(drop=True)
    rewards = {name: state[f"pool/lower.{name}"] for name in REWARDS}
    return with_wanted(frame.assign(**rewards, asked=state["pool/upper"]))


def with_wanted(frame: pd.DataFrame) -> pd.DataFrame:
    """With what is wanted, for each question."""
    ink = (frame["ink"] - frame["group"].map(INK)).abs()
    size = (frame["size"] - SIZE).abs()
    wanted = {name: frame["asked"] - a * ink - b * size for name, (a, b) in PRICES.items()}
    return frame.assign(**wanted)


class Answer:
    """What a table says to a question."""

    def __init__(self, table: Path, asked: Mapping[str, Any]) -> None:
        columns = {name: f"column:{name}" for name in REWARDS}
        self.problem = RewardTuning(pool=str(table), lower_reward=columns, **asked)
        run, (self.row,) = run_locally(self.problem)
        assert run.stop is not None, "a table is solved in one round"
        self.state, self.stop = run.state, run.stop

    def of(self, name: str) -> tuple[float, ...]:
        """A variable's best value, and its intervals for these prompts and prompts like these."""
        ends = [
            f"interval_{end}{like}/{name}"
            for like in ("", "_prompts_like_these")
            for end in ("low", "high")
        ]
        return tuple(self.row[key] for key in (f"config/{name}", *ends))

    def loss_at(self, state: Arrays) -> float:
        """F where another table's search ended."""
        return self.problem.landscape(self.state)(state["x"])


def compared(asked: Mapping[str, Any], large: Path, small: list[Path]) -> Iterator[bool]:
    """Print a question's answers; whether each interval holds what the large pool says."""
    whole = Answer(large, asked)
    _print("the large pool", whole)
    for table in small:
        one = Answer(table, asked)
        worse = whole.loss_at(one.state) - whole.loss_at(whole.state)
        _print(f"{table.stem}, worse by {worse:+.5f}", one)
        for v in one.problem.variables:
            _, low, high, *_ = one.of(v.name)
            if low < high:
                yield bool(low <= whole.of(v.name)[0] <= high)


def _print(named: str, answer: Answer) -> None:
    loss = f"F {answer.row['upper_loss']:.4f} +- {answer.row['upper_loss_se']:.4f}"
    print(f"  {named}: {loss}, ess {answer.row['ess']:.0f}, {answer.stop.status.value}")
    for v in answer.problem.variables:
        x, low, high, like_low, like_high = answer.of(v.name)
        print(
            f"    {v.name:13s} {x:7.4f} ({low:.4f} to {high:.4f}; prompts like these "
            f"{like_low:.4f} to {like_high:.4f})"
        )
    if answer.stop.status.value != "converged":
        print(f"    {answer.stop.reason}")


def main(
    directory: Annotated[Path, typer.Argument(help="Where tables are kept.")],
    prompts: Annotated[int, typer.Option(min=20, max=540)] = 200,
    each: Annotated[int, typer.Option(min=2, help="Samples a prompt.")] = 64,
    times: Annotated[int, typer.Option(min=2, help="Of the large pool.")] = 10,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Draw what is not there, and print."""
    directory.mkdir(parents=True, exist_ok=True)
    listed, size = prompts_table(prompts, directory), prompts * each
    small = [pool(listed, size, FIRST_SEED + i, directory) for i in range(seeds)]
    large = pool(listed, times * size, FIRST_SEED + seeds, directory)
    held: list[bool] = []
    for question, asked in questions().items():
        print(f"{question}:")
        held += compared(asked, large, small)
    print(f"intervals that hold what the large pool says: {sum(held)} of {len(held)}")


if __name__ == "__main__":
    typer.run(main)
