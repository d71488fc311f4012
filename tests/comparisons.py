"""Small comparisons, and what their processes counted beside what they were charged."""

import os
from pathlib import Path

from raybilevel import RunConfig, ScalingConfig
from raybilevel.baselines.compare import Comparison
from raybilevel.baselines.config import CompareConfig
from raybilevel.config_file import Config


def comparison(problem, folder, workers=2, **compare):
    run = RunConfig(name="versus", storage_path=str(folder), seed=3)
    config = Config(problem, ScalingConfig(num_workers=workers), run)
    settings = {"seeds": 1, "trials": 3, "score_samples": 256} | compare
    return Comparison(config, CompareConfig(**settings))


def evaluations(folder):
    """NFE that other processes wrote down: the one that only checks is not charged."""
    files = [f for f in Path(folder).iterdir() if f.name not in {str(os.getpid()), "died"}]
    return sum(int(line) for file in files for line in file.read_text().split())


def repeated(directory):
    """NFE at most that the runs of a comparison had done twice: stragglers', on a busy machine."""
    tables = [
        directory.below("runs", name).read_table("history")
        for name in directory.list("runs")
        if directory.list(f"runs/{name}/history")
    ]
    return sum(int(table["nfe_repeated"].iloc[-1]) for table in tables)


def frames(directory):
    return [directory.read_frame(f"{name}.parquet") for name in ("comparison", "scores")]
