"""The reward problem on a table: the whole of it without a model."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from reward_toys import LAMBDA, solve
from toys import second

from raybilevel import RewardTuning, RunConfig, ScalingConfig
from raybilevel.config_file import Config, to_tree
from raybilevel.errors import InputError
from raybilevel.problems.base import Output, Status
from raybilevel.problems.reward.pool_plan import PoolPlan
from raybilevel.runtime.rounds import Run, run_locally
from raybilevel.stored_config import check_same

REWARDS = {"lower_reward": "column:low", "upper_reward": "column:up"}


def on_table(path, **changes):
    return RewardTuning(pool=str(path), **(REWARDS | {"lambda_": LAMBDA} | changes))


@pytest.fixture(scope="module")
def prompted(tmp_path_factory):
    """A table of three prompts with as many rows as it happened to log, and its problem.

    Rewards are shifted by the prompt, which p_x does not feel: lambda* = 2 for each.
    """
    path = tmp_path_factory.mktemp("table") / "rewards.parquet"
    rng = np.random.default_rng(1)
    of = np.repeat(["a", "b", "c"], [3000, 2000, 4000])
    z, shift = rng.normal(size=9000), pd.Series(of).map({"a": 0.0, "b": 7.0, "c": -3.0})
    frame = {"prompt": of, "low": z + shift, "up": np.exp(-((z - 0.5) ** 2) / 2), "held": z}
    pd.DataFrame(frame).sample(frac=1, random_state=0).to_parquet(path)
    return on_table(path, held_out_reward="column:held")


@pytest.fixture(scope="module")
def solved(prompted):
    return run_locally(prompted)


def test_a_table_says_what_the_pool_said_that_it_was_logged_from(tmp_path):
    run, rows = solve(seed=3, held_out_reward=second, max_pool_size=16384)
    names = {"up": "pool/upper", "low": "pool/lower.lower", "held": "pool/held_out"}
    pd.DataFrame({k: run.state[v] for k, v in names.items()}).to_parquet(tmp_path / "t.parquet")
    again, (row,) = run_locally(on_table(tmp_path / "t.parquet", held_out_reward="column:held"))
    assert again.stop == run.stop
    assert again.state["x"].tobytes() == run.state["x"].tobytes()
    same = ("upper_loss", "upper_loss_se", "held_out", "interval_low/lambda", "ess", "pool_size")
    assert {name: row[name] for name in same} == {name: rows[-1][name] for name in same}
    assert row["nfe_total"] == 0


def test_a_table_of_prompts_is_solved_in_one_round_within_prompts(prompted, solved):
    run, (row,) = solved
    assert run.stop.status is Status.CONVERGED
    assert row["interval_low/lambda"] < 2.0 < row["interval_high/lambda"]
    assert (row["pool_size"], row["prompts"]) == (9000, 3)
    assert np.bincount(run.state["pool/prompt"]).tolist() == [
        round(share * 9000) for share in prompted.prompt_list.shares
    ]
    assert prompted.planned_rounds(run.state) == 1


def nothing(stage):
    assert not stage.shards
    return Output()


def test_a_run_on_a_table_needs_no_torch_and_no_workers(prompted, solved, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)  # whoever imports it fails
    problem = prompted.but()
    problem.check()
    run = Run.begin(problem, RunConfig(seed=1))
    run.play(nothing)
    problem.export(run.state, tmp_path)
    assert run.state["x"].tobytes() == solved[0].state["x"].tobytes()  # no seed decides anything


def test_how_much_each_row_counts_is_left_behind(prompted, solved, tmp_path):
    state = solved[0].state
    prompted.export(state, tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"curve.parquet", "parts.parquet", "weights.parquet"}
    weights, table = pd.read_parquet(tmp_path / "weights.parquet"), pd.read_parquet(prompted.pool)
    assert (weights["prompt"].astype(str) == table["prompt"].to_numpy()).all()
    shares = weights.groupby("prompt", observed=True)["weight"].sum()
    np.testing.assert_allclose(shares[["a", "b", "c"]], [3 / 9, 2 / 9, 4 / 9])
    mean = (weights["weight"] * table["held"].to_numpy()).sum()
    last = solved[1][0]  # which corrects the bias of a weighted mean
    assert abs(mean - last["held_out"]) < 0.1 * last["held_out_se"]


def test_a_table_has_no_samples_to_draw(prompted, solved):
    with pytest.raises(
        InputError, match=r"is a table, and has no samples to draw; weights.parquet"
    ):
        prompted.samples(solved[0].state, 4, 0, "cpu")


def test_an_evaluation_is_on_the_half_that_is_named(prompted, solved):
    x = solved[0].state["x"]
    scores = []
    for half in ("first", "second"):
        run, _ = run_locally(prompted.but(pool_half=half).evaluation([{"x": x}, {"x": x + 1}]))
        assert len(run.state["pool/row"]) == 4500
        scores.append(run.state["scores"])
        assert run.state["scores"][0] < run.state["scores"][1]
    assert scores[0][0] != scores[1][0]
    assert scores[0][0] == pytest.approx(solved[1][0]["upper_loss"], abs=0.02)


def test_a_run_with_a_table_that_has_changed_does_not_go_on(prompted, solved, tmp_path):
    frame = pd.read_parquet(prompted.pool)
    frame.assign(held=0.0).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t.parquet' is not what the run began with; put the fil"):
        prompted.but(pool=str(tmp_path / "t.parquet")).objective(solved[0].state)


def test_a_run_goes_on_with_a_table_that_has_moved(prompted, solved, tmp_path):
    moved = prompted.but(pool=str(shutil.copy(prompted.pool, tmp_path / "moved.parquet")))
    before, now = (Config(p, ScalingConfig(), RunConfig()) for p in (prompted, moved))
    check_same(to_tree(before), now, "runs/here")
    moved.objective(solved[0].state)


def test_what_makes_a_pool_larger_is_another_thing_for_a_table(prompted):
    assert PoolPlan.of(8, 8, 8, 8).remedy == "raise max_pool_size"
    assert prompted.pool_plan.remedy == "log more samples"
