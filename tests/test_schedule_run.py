"""A schedule run on Ray, as a user makes it: fit, result, pipeline, report."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from schedule_toys import learning, save_pipeline, tuning

from raybilevel import BilevelTuner, RunConfig, ScalingConfig
from raybilevel.report import finish
from raybilevel.result import Result
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.rounds import Run
from raybilevel.runtime.storage import RunDirectory

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_pipeline(tmp_path_factory.mktemp("model") / "pipeline")


def tuner(problem, folder, **run):
    return BilevelTuner(
        problem, scaling=ScalingConfig(num_workers=1),
        run=RunConfig(name="run", storage_path=str(folder), seed=3, **run),
        watch=lambda progress: None,
    )  # fmt: skip


def levels_of(result):
    return json.loads(Path(result.path, "schedule.json").read_text())["levels"]


def test_a_run_leaves_a_pipeline_a_comparison_and_a_report(cluster, model, tmp_path, capsys):
    tuner(tuning(model), tmp_path).fit()
    result = Result(RunDirectory.at(str(tmp_path / "run")))  # from its directory alone
    assert result.kind == "sampling_schedule"
    assert list(result.best_params.values()) == pytest.approx(levels_of(result))
    images = result.pipeline()(
        batch_size=3, generator=torch.Generator().manual_seed(4), num_inference_steps=2,
        output_type="np",
    ).images  # fmt: skip
    ours = result.samples(3, seed=4).permute(0, 2, 3, 1).numpy()
    assert np.abs(images - ours).max() < 1e-4
    finish(result)
    said = capsys.readouterr().out
    for part in ("log-SNR visited", "learned", "dpm++ karras", "real against real", "KID", "NFE"):
        assert part in said
    for file in ("pictures/schedule.png", "pictures/samples.png", "samples/learned-2.png"):
        assert Path(result.path, file).read_bytes().startswith(b"\x89PNG")


def test_a_training_that_its_budget_ends_early_exports_what_it_says_and_goes_on(
    cluster, tmp_path, capsys
):
    early = tuner(learning(), tmp_path, max_rounds=3).fit()
    assert early.status == "budget"
    assert list(early.best_params.values()) == pytest.approx(levels_of(early))
    finish(early)
    assert "max_rounds 3 is reached" in capsys.readouterr().out
    path = str(tmp_path / "run")
    run = RunConfig(max_rounds=19, seed=3)
    whole = BilevelTuner.restore(path, run=run, watch=lambda progress: None).fit()
    assert len(whole.get_dataframe()) == 10
    finish(whole)
    said = capsys.readouterr().out
    for part in ("training loss", "MB back from all shards", "initial schedule", f"{path}/network"):
        assert part in said
    picture = Path(path, "pictures/training.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.unlink()
    config = Path(path, "config.yaml")
    config.write_text(config.read_text().replace("data: digits", "data: gone.npz"))
    finish(Result(RunDirectory.at(path)))  # where the data are not
    assert picture.exists()
    # what a driver finds there; that it plays no round then is in test_tuner.py
    last = Checkpoints(whole.directory).read()
    ended = Run.resume(whole.problem, RunConfig(max_rounds=99), last.state, last.record)
    ended.reconsider()
    assert ended.stop is not None  # it had made all its rounds
