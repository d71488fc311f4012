"""Searches whose trials train a network: charged truly, gone on with where a process dies."""

import numpy as np
import pytest
from comparisons import comparison, evaluations, frames, repeated
from schedule_toys import DyingPixels, HookedPixels, Pixels, learning

from raybilevel import RunConfig, ScalingConfig
from raybilevel.baselines.tuned import SearchSpec, search
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory

pytestmark = [pytest.mark.usefixtures("cluster"), pytest.mark.slow, pytest.mark.timeout(900)]


def test_searches_of_trainings_spend_what_a_hook_on_the_network_counts(tmp_path):
    names, count = ["asha", "pbt", "pb2"], tmp_path / "count"
    count.mkdir()
    problem = learning(extractor=HookedPixels(count), training={"evaluate_every": 4})
    own = {"training": {"rounds": 9}}
    versus = comparison(problem, tmp_path, workers=1, searches=names, trials=2, bilevel=own)
    directory = versus.run(print)
    rows, scores = frames(directory)
    rounds = rows.groupby("method")["training_iteration"].max()["bilevel"]
    assert rounds == 9 + problem.optimizer.updates  # trained for as long as it was given
    spent = rows.groupby("method")["nfe_total"].max()
    assert (spent[["pbt", "pb2"]] == versus.plan.budget).all()  # as many whole trainings as may be
    assert versus.plan.cost.whole < spent["asha"] <= versus.plan.budget
    assert (rows.groupby("method")["trial_id"].nunique()[names] >= 2).all()
    assert np.isfinite(scores.groupby("method").tail(1)["score"]).all()
    assert set(scores["method"]) == {"bilevel", *names}
    assert (np.diff(scores[["config/logsnr_0", "config/logsnr_1"]].to_numpy()) > 0).all()
    scored = 2 * 256 * len(scores.drop_duplicates("score"))
    assert 0 <= evaluations(count) - spent.sum() - scored <= repeated(directory)


def found_by(name, problem, folder, whole):
    """A search of two whole trials, one at a time."""
    place = RunDirectory(str(folder), name)
    spec = SearchSpec(name, problem, ScalingConfig(num_workers=1), 2 * whole, 3, 2, place)
    return search(spec, lambda trials, nfe, least: None)


def test_a_training_whose_process_dies_goes_on_and_is_charged_once(tmp_path):
    problem = learning(extractor=DyingPixels(tmp_path)).lean()
    whole = problem.evaluation_cost().whole
    killed = found_by("random", problem, tmp_path, whole)
    assert (tmp_path / "died").exists()
    assert killed.rows["nfe_total"].iloc[-1] == 2 * whole
    undisturbed = learning(extractor=Pixels()).lean()
    least, average = np.inf, None
    for _, trial in killed.rows.groupby("trial_id"):
        x = trial[[f"config/{v.name}" for v in problem.variables]].to_numpy()[0]
        run, rows = run_locally(undisturbed.evaluation([{"x": x}]), RunConfig(seed=3))
        losses = [row["upper_loss"] for row in rows if np.isfinite(row["upper_loss"])]
        assert trial["upper_loss"].tolist() == losses
        if losses[-1] < least:
            least, average = losses[-1], run.state["average"]
    assert np.array_equal(killed.ends[-1]["average"], average)
