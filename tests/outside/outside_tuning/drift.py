"""Where should the mean of a normal be, so that its samples are rewarded most?

Two stages a round: the mean reward at x, and the gradient by the score function with that mean as
its baseline, grad E[r] = E[(r - b) z] for samples x + z.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from raybilevel.config.settings import Settings
from raybilevel.problems.base import (
    EVALUATED,
    Arrays,
    Cost,
    Output,
    Problem,
    Shard,
    Stage,
    Status,
    Stop,
    Update,
)
from raybilevel.rewards import load_reward
from raybilevel.upper.variables import Variable


@dataclass(frozen=True)
class Evaluate(Shard):
    """The reward of fresh samples about every x of the broadcast, on the same noise."""

    samples: int


@dataclass(frozen=True)
class Differentiate(Shard):
    """The gradient on fresh samples."""

    samples: int


class Drift(Settings, Problem):
    """Follow the gradient of a normal's mean reward.

    Parameters
    ----------
    reward : as `raybilevel.rewards.load_reward` takes it: samples (n,) -> (n,).
    mean : the variable.
    draws, shards : samples of a stage, and what they are cut into.
    rounds, step : gradient steps, and how far they go.
    kill_once : a file; the first worker that finds it missing in the second round writes it and is
        killed.
    """

    reward: str
    mean: Variable = Variable("mean", 0.0, -4.0, 4.0)
    draws: int = Field(default=256, ge=4)
    shards: int = Field(default=4, ge=1)
    rounds: int = Field(default=5, ge=1)
    step: float = Field(default=0.2, gt=0)
    kill_once: str | None = None

    @property
    def variables(self) -> tuple[Variable, ...]:
        return (self.mean,)

    def check(self) -> None:
        load_reward(self.reward, "reward")

    def init(self, seed: int) -> Arrays:
        return {"x": np.array([self.mean.init])}

    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        x = state["x"]
        seen = yield Stage(self.cut(Evaluate, self.draws), {"x": x})
        loss, error = losses(seen, self.draws)
        broadcast = {"x": x, "baseline": -loss, "round": np.array(round_)}
        slopes = yield Stage(self.cut(Differentiate, self.draws), broadcast)
        moved = np.clip(
            x + self.step * slopes.sums["gradient"] / self.draws, self.mean.low, self.mean.high
        )
        metrics = {"config/mean": float(x[0]), "upper_loss": loss[0], "upper_loss_se": error[0]}
        last = round_ + 1 >= self.rounds
        stop = Stop(Status.CONVERGED, f"{self.rounds} steps were made") if last else None
        return Update({"x": moved}, metrics, stop)

    def cut(self, kind: Callable[[int], Shard], samples: int) -> tuple[Shard, ...]:
        """So many samples as shards."""
        sizes = [len(part) for part in np.array_split(np.arange(samples), self.shards)]
        return tuple(kind(size) for size in sizes)

    def worker(self, device: str) -> DriftWorker:
        return DriftWorker(self, device)

    def evaluation(self, ends: Sequence[Arrays], samples: int | None = None) -> DriftEvaluation:
        return DriftEvaluation(self, [end["x"] for end in ends], samples or self.draws)

    def evaluation_cost(self) -> Cost:
        return Cost(self.draws, self.draws)

    def export(self, state: Arrays, directory: Path) -> None:
        (directory / "mean.txt").write_text(f"{state['x'][0]:.6g}\n")


def losses(seen: Output, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Minus the mean reward (k,) at every x, and its standard error (k,)."""
    mean = seen.sums["r"] / samples
    return -mean, np.sqrt((seen.sums["rr"] / samples - mean**2) / samples)


class DriftWorker:
    """Draws samples; needs no torch."""

    def __init__(self, problem: Drift, device: str) -> None:
        self.problem = problem
        self.reward = load_reward(problem.reward, "reward", device)

    def run(self, shard: Shard, broadcast: Mapping[str, np.ndarray], key: int) -> Output:
        match shard:
            case Evaluate(samples):
                noise = np.random.default_rng(key).normal(size=samples)
                rewards = np.array([self.reward(x + noise) for x in broadcast["x"]])
                sums = {"r": rewards.sum(axis=1), "rr": (rewards**2).sum(axis=1)}
                return Output(sums, nfe=rewards.size)
            case Differentiate(samples):
                self._perhaps_die(int(broadcast["round"]))
                noise = np.random.default_rng(key).normal(size=samples)
                rewards = self.reward(broadcast["x"][0] + noise)
                gradient = ((rewards - broadcast["baseline"][0]) * noise).sum()
                return Output({"gradient": np.array([gradient])}, nfe=samples)
        raise TypeError(shard)

    def _perhaps_die(self, round_: int) -> None:
        if self.problem.kill_once is None or round_ != 1:
            return
        try:
            os.close(os.open(self.problem.kill_once, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class DriftEvaluation(Problem):
    """The objective at every one of several x (k,), on the same samples: one stage, one round."""

    def __init__(self, problem: Drift, x: Sequence[np.ndarray], samples: int) -> None:
        self.problem, self.x, self.samples = problem, np.concatenate(x), samples

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self.problem.variables

    def check(self) -> None:
        self.problem.check()

    def init(self, seed: int) -> Arrays:
        return {"x": self.x[-1:]}

    def run_round(self, round_: int, state: Arrays) -> Generator[Stage, Output, Update]:
        seen = yield Stage(self.problem.cut(Evaluate, self.samples), {"x": self.x})
        scores, errors = losses(seen, self.samples)
        last = {"upper_loss": scores[-1], "upper_loss_se": errors[-1]}
        return Update(state | {"scores": scores, "scores_se": errors}, last, EVALUATED)

    def worker(self, device: str) -> DriftWorker:
        return self.problem.worker(device)

    def export(self, state: Arrays, directory: Path) -> None:
        """Scores are in the state."""
