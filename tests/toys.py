"""Small problems and rewards with the real contract, that workers can import.

torch is imported where a model or a reward needs it: the runtime's own promises need none.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raybilevel.problems.base import Output, Problem, Shard, Stage, Status, Stop, Update
from raybilevel.upper.variables import Variable

KILL = signal.SIGKILL


@dataclass(frozen=True)
class Step(Shard):
    """A shard that knows its place, so that mishaps can be put there."""

    round: int
    stage: int
    index: int
    scale: float = 0.1


def steps(round_, stage, count):
    return tuple(Step(round_, stage, i) for i in range(count))


class Descent(Problem):
    """Noisy gradient descent on (x - 3)^2 in two stages a round.

    `mishap(shard)` runs in the worker before each shard: to sleep, raise or die there. With `leaky`
    a shard reads numpy's global generator, which breaks the contract.
    """

    def __init__(self, rounds=4, shards=6, mishap=None, leaky=False):
        self.rounds, self.shards, self.mishap, self.leaky = rounds, shards, mishap, leaky

    @property
    def variables(self):
        return (Variable("x", 0.0, -10.0, 10.0),)

    def check(self):
        pass

    def init(self, seed):
        return {"x": np.zeros(1), "draws/value": np.empty(0)}

    def run_round(self, round_, state):
        x = state["x"]
        first = yield Stage(steps(round_, 0, self.shards), {"x": x + 0.0})
        second = yield Stage(steps(round_, 1, self.shards), {"x": x + first.sums["g"]})
        x = x - 0.2 * (first.sums["g"] + second.sums["g"]) / (2 * self.shards)
        draws = np.concatenate([state["draws/value"], second.rows["draw"]])
        stop = round_ + 1 >= self.rounds
        return Update(
            {"x": x, "draws/value": draws},
            {"config/x": float(x[0]), "upper_loss": float((x[0] - 3) ** 2)},
            Stop(Status.CONVERGED, "all rounds are done") if stop else None,
        )

    def worker(self, device):
        return DescentWorker(self.mishap, self.leaky)

    def trial(self, x):
        raise NotImplementedError

    def export(self, state, directory):
        (directory / "x.txt").write_text(str(float(state["x"][0])))

    def planned_rounds(self, state):
        return self.rounds


class DescentWorker:
    def __init__(self, mishap, leaky):
        self.mishap, self.leaky = mishap, leaky

    def run(self, shard, broadcast, key):
        if self.mishap:
            self.mishap(shard)
        rng = np.random.default_rng(key)
        # float32 products over many entries: the bits tell a wrong order of additions
        noise = rng.normal(size=4096).astype(np.float32)
        g = 2 * (broadcast["x"] - 3) + shard.scale * float((noise * noise).mean())
        if self.leaky:
            g = g + 1e-9 * np.random.random()  # noqa: NPY002 - the leak that tests must notice
        return Output({"g": g}, {"draw": rng.normal(size=2)}, nfe=7)


class Once:
    """A mishap that happens `times` times to the shards that `hits`, counted in a folder."""

    def __init__(self, folder, act, times=1, round_=1, index=2):
        self.folder, self.act, self.times = str(folder), act, times
        self.place = (round_, index)

    def __call__(self, shard):
        if (shard.round, shard.index) != self.place:
            return
        for i in range(self.times):
            try:
                os.close(os.open(f"{self.folder}/{shard.stage}-{i}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            self.act(shard)
            return

    @property
    def happened(self):
        return len(list(Path(self.folder).iterdir()))


def die(shard):
    """The worker dies as a spot node does."""
    os.kill(os.getpid(), KILL)


def fail(shard):
    raise ArithmeticError("the lower level blew up")


def nap(shard):
    time.sleep(0.15)


def but_late(notes):
    """All but that workers are late, which a busy machine makes true."""
    return [note for note in notes if "workers are there; " not in note]


def gaussian(seeds):
    """A model: (N, 2) standard normal, a sample a seed."""
    import torch

    return torch.stack(
        [torch.randn(2, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


class CountedGaussian:
    """Draws from a normal and writes down, by process, how many; killed at a batch, if told."""

    nfe_per_sample = 3

    def __init__(self, folder, dies_at=None):
        self.folder, self.dies_at, self.batches = str(folder), dies_at, 0

    def __call__(self, seeds):
        self.batches += 1
        died = Path(self.folder, "died")
        if self.batches == self.dies_at and not died.exists():
            died.touch()
            os.kill(os.getpid(), KILL)
        with Path(self.folder, str(os.getpid())).open("a") as file:
            file.write(f"{self.nfe_per_sample * len(seeds)}\n")
        return gaussian(seeds)


class Mortal:
    """Kills its process when it is called so many times, once; never without a folder."""

    dies_at: int

    def __init__(self, folder=None):
        self.folder, self.calls = folder, 0

    def count(self):
        self.calls += 1
        if self.folder is None or self.calls != self.dies_at:
            return
        died = Path(self.folder, "died")
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), KILL)


class DyingGaussian(Mortal):
    """Draws from a normal; the process is killed in the middle of its fifth batch, once."""

    dies_at = 5

    def __call__(self, seeds):
        self.count()
        return gaussian(seeds)


def first(samples):
    """Lower reward: tilting by it moves the mean to 1 / lambda."""
    return samples[:, 0]


def near_one(samples):
    """Upper reward, best at mean 1: with `first` below, lambda* = 1."""
    return -((samples[:, 0] - 1.0).clamp(-3, 3) ** 2)


def second(samples):
    return samples[:, 1]


def wrong_shape(samples):
    return samples


def nan_reward(samples):
    return samples[:, 0] * float("nan")


def nan_rarely(samples):
    """NaN for about one in a thousand samples: a probe batch does not show it."""
    return samples[:, 0].masked_fill(samples[:, 0] > 3, float("nan"))


class Unloadable(Descent):
    def worker(self, device):
        raise OSError("no weights on this machine")


class Fatal(Descent):
    def worker(self, device):
        die(None)


class WrongLater:
    """A reward that is well-behaved on two samples only."""

    def __call__(self, samples):
        return samples[:, 0] if len(samples) == 2 else samples


class Stall:
    """Shard 0 of each stage is slow to whoever takes it first."""

    def __init__(self, folder, seconds):
        self.folder, self.seconds = folder, seconds

    def __call__(self, shard):
        mark = Path(f"{self.folder}/{shard.round}-{shard.stage}-{shard.index}")
        if shard.index == 0 and not mark.exists():
            mark.touch()
            time.sleep(self.seconds)
        else:
            time.sleep(0.06)


class Held:
    """Shards of one round, from an index on, wait for a file: what is to happen there happens."""

    def __init__(self, file, round_, index=0):
        self.file, self.round, self.index = str(file), round_, index

    def __call__(self, shard):
        nap(shard)
        if shard.round == self.round and shard.index >= self.index:
            until = time.monotonic() + 120
            while not Path(self.file).exists() and time.monotonic() < until:
                time.sleep(0.05)


class Endless:
    """Shards take their time; those of one round end with their process alone."""

    def __init__(self, round_):
        self.round = round_

    def __call__(self, shard):
        nap(shard)
        while shard.round == self.round:
            time.sleep(1)


class Ear:
    """Watches an executor and keeps what it says."""

    def __init__(self):
        self.said = []

    def tick(self, workers, left):
        pass

    def say(self, sentence):
        self.said.append(sentence)


class Seen:
    """Shards that take their time and leave word of the node they run on."""

    def __init__(self, folder, seconds):
        self.folder, self.seconds = str(folder), seconds

    def __call__(self, shard):
        import ray

        node = ray.get_runtime_context().get_node_id()
        Path(self.folder, f"seen-{shard.round}-{shard.stage}-{shard.index}-{node}").touch()
        time.sleep(self.seconds)

    def nodes(self, round_):
        return [path.name.split("-")[-1] for path in Path(self.folder).glob(f"seen-{round_}-0-*")]


class OneIsSlow:
    """The process that comes first takes 4 seconds for each shard, others a tenth of one."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __call__(self, shard):
        mark = Path(self.folder, "slow")
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            mark.write_text(str(os.getpid()))
        except FileExistsError:
            pass
        time.sleep(4.0 if mark.read_text() == str(os.getpid()) else 0.1)


def bump(samples):
    """Upper reward, bounded, best at mean 0.5: with `first` as lower reward, lambda* = 2."""
    return (-((samples[:, 0] - 0.5) ** 2) / 2).exp()


class Wide(Descent):
    """Sums too large to travel with the news of them, from more shards than are added at a time."""

    def __init__(self, rounds=3, shards=20, mishap=None):
        super().__init__(rounds, shards, mishap)

    def init(self, seed):
        return {"x": np.zeros(1), "wide": np.zeros(WIDTH, np.float32)}

    def run_round(self, round_, state):
        added = yield Stage(steps(round_, 0, self.shards), {"x": state["x"]})
        wide = state["wide"] + added.sums["wide"]
        x = state["x"] + float(wide.mean())
        metrics = {"config/x": float(x[0]), "upper_loss": float((x[0] - 3) ** 2)}
        stop = Stop(Status.CONVERGED, "all rounds are done") if round_ + 1 >= self.rounds else None
        return Update({"x": x, "wide": wide}, metrics, stop)

    def worker(self, device):
        return WideWorker(self.mishap)


WIDTH = 40_000


class WideWorker:
    def __init__(self, mishap):
        self.mishap = mishap

    def run(self, shard, broadcast, key):
        if self.mishap:
            self.mishap(shard)
        rng = np.random.default_rng(key)
        # rounding tells one order of additions from another
        wide = (rng.normal(size=WIDTH) * 10.0 ** rng.integers(-4, 4)).astype(np.float32)
        return Output({"wide": wide + np.float32(broadcast["x"][0])}, {"i": np.array([key])}, nfe=7)


class ChangesTorch(Descent):
    """Loading it changes what torch does for all code of the process."""

    def worker(self, device):
        import torch

        torch.set_default_dtype(torch.float64)
        return super().worker(device)


class TorchSeen(Descent):
    """Leaves word of whether its driver and its workers have imported torch."""

    def __init__(self, folder):
        super().__init__(mishap=self.note)
        self.folder = str(folder)

    def run_round(self, round_, state):
        self.note("driver")
        return (yield from super().run_round(round_, state))

    def note(self, place):
        kind = "driver" if place == "driver" else "worker"
        Path(self.folder, f"{kind} {'torch' in sys.modules}").touch()


class DyingNoise(Mortal):
    """A model of noise, (N, 2) as it is; the process is killed in its twentieth batch, once."""

    noise_shape = (2,)
    dies_at = 20

    def __call__(self, noise):
        self.count()
        return noise


class DyingPixel(Mortal):
    """A reward of guided paths; the process is killed when it is asked the hundredth time, once."""

    dies_at = 100

    def __call__(self, images):
        from raybilevel.testing.gaussian_pipeline import pixel

        self.count()
        return pixel(images)


def near_bright(images):
    """Upper reward, best where the first pixel is one standard deviation brighter than p0's."""
    from raybilevel.testing.gaussian_pipeline import pixel

    return -((pixel(images) - 1.0) ** 2)


def near_three(samples):
    """Upper reward, best where the mean is about 3: with `first` below, lambda* is near 1/3."""
    import torch

    return torch.exp(-((samples[:, 0] - 3.0) ** 2) / 2)
