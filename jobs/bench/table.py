"""Print seconds and memory from a table of rewards to lambda* with its intervals, without a model.

    python jobs/bench/table.py [rows [prompts ...]]

By default 100,000 rows, of 5,000 prompts (20 samples each) and of 200 (500 each), made from
Gaussians by seed: prompts differ in mean and spread of the lower reward, and lambda* is near 2.
Memory is the process's, so that of the first is to be looked at. A few seconds.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from raybilevel import RewardTuning, Variable
from raybilevel.problems.reward.pool_files import read_pool
from raybilevel.runtime.rounds import run_locally

LAMBDA = Variable("lambda", 3.0, 0.5, 20.0, "log")
COLUMNS = {"upper": "wanted", "lower.lower": "proxy", "held_out": "check"}


def table(rows: int, prompts: int) -> dict[str, np.ndarray]:
    """Columns of `rows` samples, as many of each prompt."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(prompts), rows // prompts)
    mean, spread = rng.normal(0, 3, prompts)[of], rng.uniform(0.8, 1.2, prompts)[of]
    z = rng.normal(size=len(of))
    named = np.array([f"prompt number {c}" for c in range(prompts)])[of]
    wanted = np.exp(-((z - 0.5) ** 2) / 2)
    check = rng.normal(size=len(of))
    return {"prompt": named, "proxy": mean + spread * z, "wanted": wanted, "check": check}


def write(columns: dict[str, np.ndarray], folder: Path) -> list[Path]:
    """The table in all three kinds of file, parquet first."""
    import pandas as pd

    frame = pd.DataFrame(columns)
    files = [folder / f"rewards.{kind}" for kind in ("parquet", "csv", "jsonl")]
    frame.to_parquet(files[0])
    frame.to_csv(files[1], index=False)
    lines = (json.dumps(row) for row in frame.to_dict("records"))
    files[2].write_text("\n".join(lines))
    return files


def solve(rows: int, prompts: int) -> None:
    """Read, and solve."""
    print(f"\n{rows:,} rows of {prompts:,} prompts")
    with tempfile.TemporaryDirectory() as folder:
        files = write(table(rows, prompts), Path(folder))
        before = peak()
        for file in files:
            begun = time.perf_counter()
            read = read_pool(str(file), COLUMNS)
            print(f"read {file.suffix:9s} {time.perf_counter() - begun:6.2f} s, {len(read):,} rows")
        problem = RewardTuning(
            pool=str(files[0]), lower_reward="column:proxy", upper_reward="column:wanted",
            held_out_reward="column:check", lambda_=LAMBDA,
        )  # fmt: skip
        begun = time.perf_counter()
        run, (row,) = run_locally(problem)
        print(f"to lambda*     {time.perf_counter() - begun:6.2f} s, reading included")
    print(f"peak memory    {peak():6.0f} MB, of which {before:.0f} before it was read")
    print(f"{run.stop.status if run.stop else ''}: {run.stop.reason if run.stop else ''}")
    for name in sorted(row):
        if name.startswith(("config/", "interval_", "upper_", "pool_size", "prompts", "ess")):
            print(f"{name:48s} {row[name]:.6g}")


def peak() -> float:
    """The process's so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if "--help" in sys.argv:
        print(__doc__)
        sys.exit()
    rows, *of_prompts = [int(argument) for argument in sys.argv[1:]] or [100_000]
    for prompts in of_prompts or (5_000, 200):
        solve(rows, prompts)
