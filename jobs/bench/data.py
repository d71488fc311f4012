"""What large data cost: seconds and peak memory of a run's driver, and of one of its workers.

First `python jobs/bench/data.py make many`, then `python jobs/bench/data.py cost many/folder`, and
`many/table.parquet` and `many/idx` likewise.
"""

import io
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn

app = typer.Typer(add_completion=False)
PARTS = ("driver", "worker")
_SHARD = 1024  # images of the largest reference shard


class Mean(nn.Module):
    """An extractor that costs next to nothing: 16 features, means of blocks."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 4).flatten(1)


@app.command()
def make(folder: Path, images: int = 60000) -> None:
    """Write noise: png files in ten sub-folders and a table of the same, 32 x 32 RGB; idx."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rng, cells = np.random.default_rng(0), []
    for i in range(images):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(out, "PNG")
        file = folder / "folder" / f"class{i % 10}" / f"{i:06d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(out.getvalue())
        cells.append({"bytes": out.getvalue(), "path": file.name})
    table = pa.table({"image": cells, "label": [i % 10 for i in range(images)]})
    pq.write_table(table, folder / "table.parquet", row_group_size=1000)
    digits = rng.integers(0, 256, (images, 28, 28), dtype=np.uint8)
    (folder / "idx").mkdir(exist_ok=True)
    header = bytes((0, 0, 8, 3)) + struct.pack(">3I", *digits.shape)
    (folder / "idx" / "train-images-idx3-ubyte").write_bytes(header + digits.tobytes())


@app.command()
def cost(
    data: Path,
    model: Annotated[str, typer.Option(help="Pipeline directory; one is made if not given.")] = "",
) -> None:
    """Print what a driver and a worker of a sampling run take, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        model = model or _model(Path(folder), channels=1 if data.name == "idx" else 3)
        for part in PARTS:
            command = [sys.executable, __file__, part, str(data), model]
            done = subprocess.run(  # noqa: S603
                command, check=True, capture_output=True, text=True
            )
            print(f"{data.name}, {part}: {done.stdout.strip()}")


@app.command()
def driver(data: str, model: str) -> None:
    """What a driver does before its workers start."""
    before = _now()
    problem = _problem(data, model)
    problem.check()
    sizes = [len(fold.images) for fold in problem.components.real.folds]
    _print(before, sizes)


@app.command()
def worker(data: str, model: str) -> None:
    """Load the problem and look at all training images, as the first round does."""
    from raybilevel.problems.schedule.real_images.shards import ReferenceImages

    before = _now()
    problem = _problem(data, model)
    loaded = problem.worker("cpu")
    count = len(problem.components.real.folds[0].images)
    for first in range(0, count, _SHARD):
        loaded.run(ReferenceImages(first, min(first + _SHARD, count)), {}, 0)
    _print(before, [count])


def _problem(data, model):
    from raybilevel import SamplingSchedule

    return SamplingSchedule(
        model=model, data=data, sampling_steps=4, extractor=Mean, second_extractor=Mean
    )


def _model(folder: Path, channels: int) -> str:
    """The directory of an untrained model that draws what the data are."""
    from raybilevel.lower.training.pretrain import pretrain

    side = 28 if channels == 1 else 32
    pretrain(folder / "model", torch.rand(2, channels, side, side), steps=1)
    return str(folder / "model")


def _now() -> tuple[float, float, int]:
    """Seconds, CPU seconds, and the process's peak memory in MB (Linux)."""
    status = Path("/proc/self/status").read_text()  # getrusage's peak begins with the parent's
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return time.perf_counter(), time.process_time(), int(peak) // 1024


def _print(before, sizes) -> None:
    seconds, cpu, peak = (after - b for after, b in zip(_now(), before, strict=True))
    print(json.dumps({"images": sizes, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1),
                      "peak_mb": _now()[2], "peak_mb_over_start": peak}))  # fmt: skip


if __name__ == "__main__":
    app()
