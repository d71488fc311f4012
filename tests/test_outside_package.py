"""A package of somebody else's, built as a wheel: its problem, reward and search work as ours do.

And what such packages build on is in our own wheel.
"""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import finish, start
from packages import build_wheel, install, write_module

from raybilevel import BilevelTuner, RunConfig, ScalingConfig, config_file
from raybilevel.cli import main as cli
from raybilevel.result import Result
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.quiet import differences

HERE = Path(__file__).parent

CONFIG = """
problem: drift
reward: nearness(2)
kill_once: killed
scaling: {num_workers: [1, 2]}
run: {name: mine, seed: 3}
compare: {searches: [corners], trials: 2, seeds: 1, score_samples: 64}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The user's directory, with the package installed beside the environment."""
    folder = tmp_path_factory.mktemp("outside")
    install(build_wheel(HERE / "outside", folder / "wheel"), folder / "site")
    (folder / "c.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "site"))
        patch.chdir(folder)
        yield folder


def settings():
    from outside_tuning.drift import Drift

    return Drift(reward="nearness(2)", kill_once="killed")


@pytest.fixture(scope="module")
def begun(cluster, here):
    """Two rounds by the command, in the second of which a worker was killed."""
    tree = yaml.safe_load(CONFIG)
    del tree["compare"]
    (here / "run.yaml").write_text(yaml.safe_dump(tree))
    site = str(here / "site")
    command = ("run", "run.yaml", "run.max_rounds=2", "--address", cluster)
    return finish(start(*command, PYTHONPATH=site))


def test_the_command_runs_a_problem_by_its_name_though_a_worker_is_killed(begun, here):
    assert begun.returncode == 0, begun.stderr
    assert (here / "killed").exists()
    history = Result(RunDirectory.at("runs/mine")).get_dataframe()
    assert history["workers_lost"].iloc[-1] >= 1
    assert history["shards_retried"].iloc[-1] >= 1
    assert "mean" in begun.stdout
    stored = yaml.safe_load((here / "runs/mine/config.yaml").read_text())
    assert stored["format"] == 3
    assert stored["problem"] == "drift"
    assert stored["reward"] == "nearness(2)"


@pytest.fixture(scope="module")
def whole(begun):
    """The same run, restored by its path alone and gone on with to its end."""
    run = RunConfig(seed=3)
    return BilevelTuner.restore("runs/mine", run=run, watch=lambda progress: None).fit()


def test_python_goes_on_with_it_to_the_bits_of_a_run_without_ray(whole):
    assert whole.kind == "drift"
    assert whole.status == "converged"
    assert Result(RunDirectory.at(whole.path)).problem == settings()
    assert not list(differences(whole.directory, *run_locally(settings(), RunConfig(seed=3))))
    assert abs(whole.best_params["mean"] - 2.0) < 0.5
    assert whole.directory.read("mean.txt").decode().startswith(f"{whole.best_params['mean']:.3g}")


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["raybilevel", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code


def test_its_report_has_the_best_parameters_and_the_history(whole, monkeypatch, capsys):
    command(monkeypatch, "report", whole.path)
    assert f"{whole.best_params['mean']:.6g}" in capsys.readouterr().out
    page = whole.directory.read("report.html").decode()
    assert "<th>training_iteration</th><th>mean</th><th>upper_loss</th>" in page
    for mean in whole.get_dataframe()["config/mean"]:
        assert f"<td>{mean:.6g}</td>" in page
    assert whole.directory.read("pictures/history.png").startswith(b"\x89PNG")


def test_it_is_compared_with_a_search_of_the_packages_own(begun, here, monkeypatch, capsys):
    overrides = ("run.name=versus", "scaling.num_workers=1", "rounds=4")
    command(monkeypatch, "compare", "c.yaml", *overrides)
    directory = RunDirectory.at("runs/versus")
    rows, scores = (directory.read_frame(f"{name}.parquet") for name in ("comparison", "scores"))
    searched = rows[rows["method"] == "corners"]
    assert sorted(searched["config/mean"]) == [-4.0, 4.0]
    assert rows.groupby("method")["nfe_total"].max().to_dict() == {"bilevel": 2048, "corners": 512}
    best = scores.groupby("method")["score"].min()
    # E (x + z - 2)^2 is 1 + (x - 2)^2
    assert abs(best["corners"] - 5.0) < 2
    assert abs(best["bilevel"] - 1.0) < 1
    assert np.isfinite(scores["score_se"]).all()
    assert "corners" in capsys.readouterr().out


MINE = """
from outside_tuning.drift import Drift

class Mine(Drift):
    pass
"""


def test_a_problem_that_nobody_registers_is_stored_by_its_import_path(begun, here):
    write_module(here, "unregistered", MINE)
    from unregistered import Mine

    problem = Mine(reward="nearness(1)", rounds=1)
    run = RunConfig(storage_path="runs", seed=3)
    tuner = BilevelTuner(problem, ScalingConfig(num_workers=1), run, watch=lambda progress: None)
    result = tuner.fit()
    assert result.directory.name.startswith("Mine-")
    assert not list(differences(result.directory, *run_locally(problem, run)))
    again = Result(RunDirectory.at(result.path))
    assert again.kind == "unregistered:Mine"
    assert again.problem == problem
    tree = {"problem": "unregistered:Mine", "reward": "nearness(1)", "rounds": 1}
    assert config_file.build(tree, "c.yaml").problem == problem


def test_our_own_wheel_is_whole_and_says_that_it_is_typed(tmp_path):
    root = HERE.parent
    with zipfile.ZipFile(build_wheel(root, tmp_path)) as archive:
        packed = {name for name in archive.namelist() if name.startswith("raybilevel/")}
    assert "raybilevel/py.typed" in packed
    assert "raybilevel/report/page.html.j2" in packed
    assert "raybilevel/lower/pretrained_models/digits/model_index.json" in packed
    files = [path for path in (root / "raybilevel").rglob("*") if path.is_file()]
    assert {f.relative_to(root).as_posix() for f in files if f.suffix != ".pyc"} <= packed
