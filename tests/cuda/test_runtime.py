"""Worker actors that own a GPU: the bits of one process, through a death, and Tune's trials."""

import os
from pathlib import Path

import pytest
from schedule_toys import Pixels, learning
from toys import KILL

from raybilevel import RunConfig, ScalingConfig
from raybilevel.baselines.compare import Comparison
from raybilevel.baselines.config import CompareConfig
from raybilevel.config_file import Config
from raybilevel.runtime.client import drive
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.quiet import differences

pytestmark = pytest.mark.usefixtures("cluster")

GPU = ScalingConfig(num_workers=1, use_gpu=True)


class DyingOnTheGpu(Pixels):
    """Features of images that lie on the GPU; the process is killed on the seventh chunk, once."""

    def __init__(self, folder):
        super().__init__()
        self.marker, self.chunks = f"{folder}/died", 0

    def forward(self, images):
        self.chunks += images.is_cuda and len(images) == 16
        if self.chunks == 7 and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), KILL)
        return super().forward(images)


def problem(extractor):
    penalty = {"z_step": "truncated", "gamma": 100.0}
    return learning(extractor=extractor, second_extractor=Pixels(), penalty=penalty)


def test_a_worker_with_a_gpu_that_is_killed_gives_the_bits_of_one_process(tmp_path):
    run = RunConfig(name="run", storage_path=str(tmp_path), seed=5)
    drive(RunSpec(problem(DyingOnTheGpu(tmp_path)), GPU, run, "run"), lambda progress: None)
    assert (tmp_path / "died").exists()
    quiet = run_locally(problem(Pixels()), RunConfig(seed=5), device="cuda")
    assert list(differences(RunDirectory(str(tmp_path), "run"), *quiet)) == []


def test_trials_of_a_search_run_on_the_gpu(tmp_path):
    run = RunConfig(name="versus", storage_path=str(tmp_path), seed=3)
    config = Config(learning(), GPU, run)
    compare = CompareConfig(seeds=1, trials=2, score_samples=64, searches=["random"])
    directory = Comparison(config, compare).run(print)
    assert set(directory.read_frame("scores.parquet")["method"]) == {"bilevel", "random"}
