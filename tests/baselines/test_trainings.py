"""Searches whose trials train a network: charged truly, gone on with where a process dies."""

import numpy as np
import pytest
from comparisons import comparison, evaluations, frames, repeated
from schedule_toys import DyingPixels, HookedPixels, Pixels, learning

from raybilevel import ScalingConfig
from raybilevel.baselines.tuned import SearchSpec, search
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


def test_a_training_whose_process_dies_goes_on_and_is_charged_once(tmp_path):
    found = []
    for name, extractor in (("whole", Pixels()), ("killed", DyingPixels(tmp_path))):
        problem = learning(extractor=extractor).lean()
        place = RunDirectory(str(tmp_path), name)
        scaling = ScalingConfig(num_workers=1)
        budget = 2 * problem.evaluation_cost().whole
        spec = SearchSpec("random", problem, scaling, budget, 3, 2, place)
        found.append(search(spec, lambda trials, nfe, least: None))
    whole, killed = found
    assert (tmp_path / "died").exists()
    assert killed.rows["nfe_total"].iloc[-1] == whole.rows["nfe_total"].iloc[-1] == budget
    assert sorted(killed.rows["upper_loss"]) == sorted(whole.rows["upper_loss"])
    assert np.array_equal(killed.ends[-1]["average"], whole.ends[-1]["average"])
