"""What a method leaves behind, and what of it counts."""

import numpy as np
import pandas as pd
from reward_toys import REWARD

from raybilevel import RunConfig
from raybilevel.baselines.outcome import Outcome, records
from raybilevel.baselines.pooled import search_pool
from raybilevel.baselines.scores import distinct, score_frame
from raybilevel.baselines.spending import Spending, step_key
from raybilevel.runtime.run import run_locally
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


def step(nfe, first=0, x=1.0):
    return {"nfe_this_iter": nfe, "spent_from": first, "admitted/a": x}


def test_a_step_that_was_lost_and_made_again_is_charged_once():
    spending = Spending(budget=100, unit=10, concurrent=2)
    assert not spending("t", step(30))
    assert not spending("t", step(30))
    assert spending.spent == 30
    spending("t", step(20, first=3))
    spending("t", step(20, first=3, x=2.0))  # PBT gave the trial another x
    assert spending.spent == 70
    assert step_key("t", step(1)) != step_key("u", step(1))


def test_trials_stop_before_the_next_units_would_pass_the_budget():
    spending = Spending(budget=100, unit=10, concurrent=2)
    assert not spending("t", step(80))
    assert spending("u", step(1))
    assert not spending.stop_all()
    spending("u", step(10, first=1))
    assert spending.stop_all()


def test_searches_of_a_pool_find_its_optimum_and_are_charged_for_all_of_it():
    at = {"lambda": 3.0}
    pool = REWARD.model_copy(update={"pool_size": 16384, "round_size": 8192, "at": at})
    run, rows = run_locally(pool, RunConfig(seed=2))
    drawn = pd.DataFrame(rows)
    assert len(drawn) == 2
    for name in ("pool-grid", "pool-tpe"):
        found = search_pool(name, REWARD, drawn, run.state, seed=0, grid_points=30, evaluations=60)
        assert 1.7 < found.ends[-1]["x"][0] < 2.4
        assert found.rows["nfe_total"].tolist()[:1] == [8192]
        assert found.rows["nfe_total"].iloc[-1] == 16384
        assert found.rows["upper_evaluations"].tolist() == list(range(1, len(found.rows) + 1))
        f = REWARD.landscape(run.state)
        assert found.rows["upper_loss"].iloc[found.at[-1]] == f(found.ends[-1]["x"])
