"""What a method leaves behind, and what of it counts."""

import pickle

import numpy as np
import pandas as pd
from ray.tune import uniform
from reward_toys import REWARD

from raybilevel import RunConfig
from raybilevel.baselines.budget import BudgetedRandom
from raybilevel.baselines.outcome import Outcome, records
from raybilevel.baselines.pooled import search_pool
from raybilevel.baselines.scores import distinct, score_frame
from raybilevel.baselines.steps import Steps, watching
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory


def outcome(method, *x, seed=0):
    rows = pd.DataFrame(
        {
            "method": method, "seed": seed, "nfe_total": np.arange(1, len(x) + 1) * 10,
            "upper_evaluations": np.arange(1, len(x) + 1), "config/lambda": x,
        }
    )  # fmt: skip
    ends = [{"x": np.array([value])} for value in x]
    return Outcome(rows, ends, np.arange(len(x)))


def test_what_is_written_is_read_and_nothing_before_it_is_complete(tmp_path):
    directory = RunDirectory(str(tmp_path), "random-0")
    assert Outcome.read(directory) is None
    written = outcome("random", 1.0, 2.0)
    written.ends[1]["average"] = np.arange(3, dtype=np.float32)
    written.write(directory)
    found = Outcome.read(directory)
    pd.testing.assert_frame_equal(found.rows, written.rows)
    assert found.at.tolist() == [0, 1]
    assert found.ends[0]["x"] == 1.0
    assert found.ends[1]["average"].tolist() == [0, 1, 2]
    directory.delete("done.json")
    assert Outcome.read(directory) is None


def test_records_are_where_the_least_so_far_falls():
    assert records([3.0, 4.0, 2.0, 2.0, np.inf, 1.0]) == [0, 2, 5]
    assert records([np.inf, np.nan]) == []


def test_every_different_end_is_scored_once():
    ends, places = distinct([outcome("a", 1.0, 2.0), outcome("b", 2.0)])
    assert [float(end["x"][0]) for end in ends] == [1.0, 2.0]
    assert places == [[0, 1], [1]]
    state = {"scores": np.array([0.5, 0.25]), "scores_se": np.array([0.1, 0.1])}
    frame = score_frame([outcome("a", 1.0, 2.0), outcome("b", 2.0)], places, state)
    assert frame["score"].tolist() == [0.5, 0.25, 0.25]
    assert frame["method"].tolist() == ["a", "a", "b"]


def points(budget=100, whole=10):
    space = {"a": uniform(0.0, 1.0)}
    return BudgetedRandom(space, {"a": 0.5}, 3, budget=budget, whole=whole)


def test_random_points_begin_at_the_initial_one_and_are_the_seeds():
    found, again = ([p.suggest(str(i)) for i in range(3)] for p in (points(), points()))
    assert found == again
    assert found[0] == {"a": 0.5}
    assert found[1] != found[2]


def test_no_trial_is_begun_that_could_not_be_ended():
    search = points(budget=25)
    assert search.suggest("t")
    assert search.suggest("u")
    assert search.suggest("v") is None  # 5 are left
    search.on_trial_result("t", {"nfe_total": 4})
    search.on_trial_complete("t", {"nfe_total": 4})  # stopped early: 6 more are left
    assert search.suggest("v")
    search.on_trial_complete("u", {"nfe_total": 10})
    search.on_trial_complete("v", None, error=True)
    assert search.suggest("w")
    search.on_trial_complete("w", {"nfe_total": 10})
    assert search.suggest("x") == BudgetedRandom.FINISHED


def test_a_search_that_goes_on_knows_what_was_spent(tmp_path):
    search, again = points(budget=25), points(budget=25)
    others = [search.suggest("t"), search.suggest("u")]
    search.on_trial_complete("t", {"nfe_total": 10})
    search.save(str(tmp_path / "state"))
    again.restore(str(tmp_path / "state"))
    assert again.suggest("v") is None
    again.on_trial_complete("u", {"nfe_total": 3})
    assert again.suggest("v") not in (None, *others)


def test_a_step_that_was_lost_and_made_again_is_charged_once():
    with watching(lambda trials, nfe, least: None) as ended:
        steps = Steps()
        for nfe, first, x in ((30, 0, 1.0), (30, 0, 1.0), (20, 3, 1.0), (20, 3, 2.0)):
            steps.on_trial_result(0, [], None, result(nfe, first, x))
        again = Steps()
        again.set_state(pickle.loads(pickle.dumps(steps.get_state())))
        again.on_trial_result(0, [], None, result(20, 3, 2.0))
        again.on_experiment_end([])
    assert steps.spent == again.spent == 70  # PBT gave the trial another x in between
    assert ended[0]["nfe_this_iter"].tolist() == [30, 20, 20]


def result(nfe, first, x):
    return {
        "trial_id": "t", "training_iteration": 1, "time_this_iter_s": 0.1, "nfe_this_iter": nfe,
        "worker_seconds_this_iter": 0.1, "spent_from": first, "whole": False, "upper_loss": 1.0,
        "admitted/a": x,
    }  # fmt: skip


def test_searches_of_a_pool_find_its_optimum_and_are_charged_for_all_of_it():
    pool = REWARD.evaluation([{"x": np.array([3.0])}], 16384, rounds=2)
    run, rows = run_locally(pool, RunConfig(seed=2))
    drawn = pd.DataFrame(rows)
    assert len(drawn) == 2
    for name in ("pool-grid", "pool-tpe"):
        found = search_pool(name, REWARD, drawn, run.state, seed=0, grid_points=30, evaluations=60)
        assert 1.7 < found.ends[-1]["x"][0] < 2.4
        assert found.rows["nfe_total"].tolist()[:1] == [8192]
        assert found.rows["nfe_total"].iloc[-1] == 16384
        for _, pool_rows in found.rows.groupby("nfe_total"):  # each pool is searched once
            assert pool_rows["upper_evaluations"].tolist() == list(range(1, len(pool_rows) + 1))
        f = REWARD.landscape(run.state)
        assert found.rows["upper_loss"].iloc[found.at[-1]] == f(found.ends[-1]["x"])
