"""The objective at given points: on one fresh pool, in one round, and what that costs."""

import pickle

import numpy as np
import pytest
from reward_toys import tuning
from toys import first, second

from raybilevel import RunConfig, Variable
from raybilevel.runtime.rounds import run_locally


def test_an_evaluation_holds_the_variables_fixed():
    problem = tuning(lower_reward={"a": first, "b": second},
                     weights={"a": 1.0, "b": Variable("w", 1.0, 0.0, 2.0)})  # fmt: skip
    x = np.array([3.0, 0.25])
    run, (row,) = run_locally(problem.evaluation([{"x": x}]), RunConfig(seed=3))
    assert run.stop.reason == "evaluated as asked for"
    assert {name: row[f"config/{name}"] for name in ("lambda", "w")} == {"lambda": 3.0, "w": 0.25}
    assert run.state["x"].tolist() == x.tolist()
    assert len(run.state["pool/seed"]) == problem.pool_size
    assert row["upper_loss"] == problem.landscape(run.state)(x)
    cost = problem.evaluation_cost()
    assert row["nfe_total"] == cost.whole == cost.unit


def test_ends_are_evaluated_on_one_pool_that_the_evaluation_draws():
    problem = tuning()
    ends = [{"x": np.array([x])} for x in (0.5, 2.0)]
    run, (row,) = run_locally(problem.evaluation(ends, 512), RunConfig(seed=8))
    assert len(run.state["pool/seed"]) == 512
    f = problem.landscape(run.state)
    assert run.state["scores"].tolist() == [f(end["x"]) for end in ends]
    assert np.all(run.state["scores_se"] > 0)
    assert row["upper_loss"] == run.state["scores"][-1]
    assert row["upper_loss_se"] == run.state["scores_se"][-1]


@pytest.mark.parametrize("gamma", [np.inf, 20.0])
def test_a_round_size_and_a_gamma_of_the_runs_change_no_evaluation(gamma):
    ends = [{"x": np.array([2.0])}]
    asked = tuning(round_size=2048, gamma=gamma, pool_size=4096)
    run, (row,) = run_locally(asked.evaluation(ends), RunConfig(seed=8))
    plain, (same,) = run_locally(tuning(pool_size=4096).evaluation(ends), RunConfig(seed=8))
    assert run.state["pool/seed"].tolist() == plain.state["pool/seed"].tolist()
    assert row["upper_loss"] == same["upper_loss"]  # F, whatever the runs minimise


def test_a_pool_may_be_drawn_in_rounds_with_the_objective_after_each():
    problem = tuning(shard_size=100)
    ends = [{"x": np.array([2.0])}]
    evaluation = problem.evaluation(ends, 1000, rounds=4)
    run, rows = run_locally(evaluation, RunConfig(seed=8))
    assert [row["pool_size"] for row in rows] == [300, 600, 900, 1000]
    assert evaluation.planned_rounds(evaluation.init(8)) == 4
    for row in rows:
        n = int(row["pool_size"])
        part = {k: a[:n] if k.startswith("pool/") else a for k, a in run.state.items()}
        assert row["upper_loss"] == problem.landscape(part)(ends[0]["x"])


def test_an_evaluation_travels():
    evaluation = pickle.loads(pickle.dumps(tuning().evaluation([{"x": np.array([2.0])}], 512)))
    run, _ = run_locally(evaluation, RunConfig(seed=8))
    assert run.state["scores"].shape == (1,)
