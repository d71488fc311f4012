"""A comparison on a real Ray: complete, charged truly, resumed, whatever dies."""

import shutil
import signal

import numpy as np
import pandas as pd
import pytest
import ray
import yaml
from commands import finish as finish_command
from commands import start, wait_for_line
from comparisons import comparison, evaluations, frames
from reward_toys import LAMBDA, REWARD
from toys import CountedGaussian
from users import hurry, settle, slow_down

from raybilevel import RewardTuning, ScalingConfig
from raybilevel.baselines.compare import Comparison
from raybilevel.baselines.tuned import SearchSpec, search
from raybilevel.errors import InputError
from raybilevel.report.comparison import finish
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.slow, pytest.mark.timeout(900)]


def counted(folder, **options):
    folder.mkdir()
    return REWARD.but(model=CountedGaussian(folder, **options))


def what_was_found(frame):
    """By method; in which order trials at the same time end is chance."""
    columns = ["method", "config/lambda", "upper_loss"]
    return frame[columns].sort_values(columns, ignore_index=True)


@pytest.fixture(scope="module")
def quiet(cluster, tmp_path_factory):
    """Every kind of search on the reward problem, and where its processes counted.

    By one worker, with which no shard runs twice however busy the machine is.
    """
    folder = tmp_path_factory.mktemp("quiet")
    searches = ("default", "grid", "random", "tpe", "gp", "pool-grid", "pool-tpe")
    problem = counted(folder / "count").model_copy(update={"shard_size": 50})
    versus = comparison(
        problem, folder, workers=1, searches=searches, evaluations=20, rivals=("best_of_n",),
        rival_images=10,
    )  # fmt: skip
    return versus, versus.run(print), folder / "count"


def test_every_method_is_charged_what_a_hook_on_the_model_counts(quiet):
    _, directory, count = quiet
    rows, _ = frames(directory)
    charged = rows.groupby("method")["nfe_total"].max()
    assert charged["default"] == 300
    assert (charged.drop(["default", "bilevel"]) == 900).all()
    shown = 3 * 2 * 32  # samples before and after, at the end of the bilevel run
    assert charged["bilevel"] > shown
    rivals = directory.read_frame("rivals.parquet")["nfe"][1]
    assert rivals == charged["bilevel"] // 30 * 30
    # one pool is drawn for all that search it, and charged to each
    assert evaluations(count) == charged.drop("pool-tpe").sum() + 3 * 256 + rivals


def test_the_table_and_the_frames_have_all_methods(quiet, capsys):
    versus, directory, _ = quiet
    rows, scores = frames(directory)
    assert list(dict.fromkeys(rows["method"])) == list(versus.plan.methods)
    last = scores.groupby("method").tail(1)
    assert np.isfinite(last["score"]).all()
    assert (last["config/lambda"].between(0.5, 20)).all()
    finish(directory)
    said = capsys.readouterr().out
    for part in (*versus.plan.methods, "ways to draw", "best_of_n", "NFE to its level", "lambda"):
        assert part in said
    assert directory.read("pictures/progress.png").startswith(b"\x89PNG")


def test_going_on_makes_only_what_is_not_there(quiet, tmp_path):
    versus, directory, count = quiet
    before, whole = evaluations(count), frames(directory)
    said = []
    directory.delete("methods/random-3/done.json")
    shutil.rmtree(f"{directory.path}/runs/tune-random-3")
    versus.run(said.append, resume=True)
    rivals = directory.read_frame("rivals.parquet")["nfe"][1]
    assert evaluations(count) == before + 900 + 3 * 256 + rivals
    again = frames(directory)
    pd.testing.assert_frame_equal(*(what_was_found(rows) for rows, _ in (whole, again)))
    best = [scores.groupby("method")["score"].min() for _, scores in (whole, again)]
    pd.testing.assert_series_equal(*best)
    assert [line for line in said if "begins" in line] == ["random, seed 3: begins"]


def test_another_configuration_does_not_go_on(quiet):
    versus, *_ = quiet
    with pytest.raises(InputError, match="exists; go on with it"):
        versus.run(print)
    other = Comparison(versus.config, versus.compare.model_copy(update={"trials": 4}))
    with pytest.raises(InputError, match=r"compare is another in .* which was begun with"):
        other.run(print, resume=True)


def test_a_trial_whose_process_dies_changes_no_number(quiet, tmp_path):
    versus, directory, _ = quiet
    problem = counted(tmp_path / "killed", dies_at=3).model_copy(update={"shard_size": 50})
    place = RunDirectory(str(tmp_path), "search")
    spec = SearchSpec(
        "random", problem, ScalingConfig(num_workers=2), versus.plan.budget, 3, 2, place
    )
    killed = search(spec, lambda trials, nfe, least: None).rows
    assert (tmp_path / "killed" / "died").exists()
    rows, _ = frames(directory)
    whole = rows[rows["method"] == "random"]
    pd.testing.assert_frame_equal(what_was_found(whole), what_was_found(killed))
    assert killed["nfe_total"].max() == whole["nfe_total"].max()


def test_a_search_whose_first_file_is_broken_begins_anew(tmp_path):
    place = RunDirectory(str(tmp_path), "broken")
    place.write("tuner.pkl", b"")
    spec = SearchSpec("default", REWARD, ScalingConfig(num_workers=1), 100, 3, 2, place)
    assert len(search(spec, lambda trials, nfe, least: None).rows) == 1


def test_interrupted_and_moved_it_goes_on_and_finds_what_it_would_have(quiet, run_in):
    """With the quiet one's problem in a file; in one trial at a time, three of them."""
    settle(run_in, "patient", nap=1.0)
    with (run_in / "patient.py").open("a") as file:
        file.write("\nmodel.nfe_per_sample = 3\n")
    text = yaml.safe_load((run_in / "c.yaml").read_text())
    text["lambda_"]["low"] = 0.5
    text |= {"pool_size": 100, "shard_size": 50, "scaling": {"num_workers": 1}}
    del text["max_pool_size"]
    text["compare"] = {"searches": ["random"], "trials": 3, "seeds": 1, "score_samples": 64}
    (run_in / "c.yaml").write_text(yaml.safe_dump(text))
    address = ray.get_runtime_context().gcs_address
    first = start("compare", "c.yaml", "--address", address)
    wait_for_line(first, "random, seed 3: 1 trials")
    slow_down(run_in, 600)  # the second is in progress, or about to be
    first.send_signal(signal.SIGINT)
    ended = finish_command(first)
    hurry(run_in)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "raybilevel: interrupted; what is done stays: go on with --resume"
    )
    (run_in / "runs" / "mine").rename(run_in / "moved")
    again = finish_command(start("compare", "moved", "--resume", "--address", address))
    assert again.returncode == 0, again.stderr
    assert "bilevel, seed 3: begins" not in again.stderr
    rows, whole = frames(RunDirectory(str(run_in), "moved"))[0], frames(quiet[1])[0]
    assert rows.groupby("method")["nfe_total"].max()["random"] == 3 * 300
    for method in ("bilevel", "random"):
        found = [what_was_found(frame[frame["method"] == method]) for frame in (rows, whole)]
        pd.testing.assert_frame_equal(*found)


def test_on_a_table_all_see_one_half_without_workers_and_are_scored_on_the_other(tmp_path):
    z = np.random.default_rng(0).normal(size=4000)
    pd.DataFrame({"low": z, "up": np.exp(-((z - 0.5) ** 2) / 2)}).to_parquet(tmp_path / "t.parquet")
    problem = RewardTuning(
        pool=str(tmp_path / "t.parquet"), lower_reward="column:low", upper_reward="column:up",
        lambda_=LAMBDA,
    )  # fmt: skip
    searches = ("default", "pool-grid")
    versus = comparison(problem, tmp_path, searches=searches, trials=None, evaluations=9)
    directory = versus.run(print)
    rows, scores = frames(directory)
    assert (rows["nfe_total"] == 0).all()
    assert rows["method"].value_counts().to_dict() == {"pool-grid": 9, "bilevel": 1, "default": 1}
    history = directory.below("runs", "run-bilevel-3").read_table("history")
    assert history["workers_joined"].tolist() == [0]
    run, _ = run_locally(problem.but(pool_half="first"))
    found = scores.groupby("method").tail(1).set_index("method")
    assert found["config/lambda"]["bilevel"] == run.state["x"][0]
    other = problem.but(pool_half="second")
    assert found["score"]["bilevel"] == other.landscape(other.init(0))(run.state["x"])
    finish(directory)
    assert directory.read("pictures/progress.png").startswith(b"\x89PNG")
    pd.DataFrame({"low": z, "up": -z}).to_parquet(tmp_path / "t.parquet")
    on_another = comparison(problem.but(), tmp_path, searches=searches, trials=None, evaluations=9)
    with pytest.raises(InputError, match="is not what the run began with; put the file back as it"):
        on_another.run(print, resume=True)
