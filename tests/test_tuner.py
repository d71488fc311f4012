"""A run from Python: what it leaves, how it goes on, and what its budgets mean."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toys
import yaml
from reward_toys import Moving
from terminals import Terminal

from raybilevel import BilevelTuner, RewardTuning, RunConfig, ScalingConfig, Variable
from raybilevel.errors import InputError
from raybilevel.result import Result
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory

LAMBDA = Variable("lambda", 3.0, 1.0, 20.0, "log")
UNKNOWN = ": upper_loss at best_params is not known yet"
"""Of a budget that ends a run before its pool can be believed."""


def tuning(kind=RewardTuning, **changes):
    settings = {
        "model": "toys:gaussian",
        "lower_reward": "toys:first",
        "upper_reward": "toys:bump",
        "held_out_reward": "toys:second",
        "lambda_": LAMBDA,
        "pool_size": 4096,
        "max_pool_size": 16384,
        "shard_size": 512,
    }
    return kind(**(settings | changes))


def tuner(storage, problem, workers=1, **run):
    config = RunConfig(**({"name": "mine", "storage_path": str(storage), "seed": 3} | run))
    scaling = ScalingConfig(num_workers=workers)
    return BilevelTuner(problem, scaling, config, watch=lambda progress: None)


@pytest.fixture(scope="module")
def short(cluster, tmp_path_factory):
    """A run that a budget ended after two rounds, and its directory's content then."""
    storage = tmp_path_factory.mktemp("runs")
    result = tuner(storage, tuning(), workers=(1, 2), max_rounds=2).fit()
    return result, json.loads((storage / "mine/summary.json").read_text())


@pytest.fixture(scope="module")
def whole(short):
    """The same run, renamed, restored by its path alone and gone on with to its end."""
    path = Path(short[0].path)
    moved = path.rename(path.with_name("moved"))
    run = RunConfig(seed=3)
    return BilevelTuner.restore(str(moved), run=run, watch=lambda progress: None).fit()


@pytest.fixture(scope="module")
def quiet():
    return run_locally(tuning(), RunConfig(seed=3))


def test_a_budget_of_rounds_ends_a_run_and_says_so(short):
    summary = short[1]
    assert summary["status"] == "budget"
    assert summary["reason"] == f"max_rounds 2 is reached; raise it and resume{UNKNOWN}"
    assert summary["rounds"] == 2


def test_a_run_resumed_from_its_budget_has_the_bits_of_one_without(whole, quiet):
    run, rows = quiet
    assert whole.status == run.stop.status == "converged"
    for name, value in run.state.items():
        assert whole.state[name].tobytes() == value.tobytes(), name
    history = whole.get_dataframe()
    changes = ("_s", "seconds_total", "retried", "joined", "lost", "drained")
    exact = [c for c in rows[0] if not c.endswith(changes) and not c.startswith("seconds/")]
    np.testing.assert_array_equal(history[exact], [[row[c] for c in exact] for row in rows])


def test_the_result_is_what_the_summary_says(whole):
    ((name, value),) = whole.best_params.items()
    assert name == "lambda"
    assert whole.metrics["interval_low/lambda"] < value < whole.metrics["interval_high/lambda"]
    assert whole.metrics["interval_low/lambda"] < 2.0 < whole.metrics["interval_high/lambda"]
    assert "gradient vanishes" in whole.reason


def test_the_summary_has_its_keys(whole):
    wanted = {
        "status", "reason", "best_params", "upper_loss", "upper_loss_se", "nfe_total",
        "worker_seconds_total", "rounds", "seed", "versions", "exact",
    }  # fmt: skip
    assert wanted <= whole.summary.keys()
    assert whole.summary["exact"] is True
    assert whole.summary["seed"] == 3
    assert whole.summary["versions"].keys() >= {"python", "ray", "torch", "numpy", "raybilevel"}


def test_the_history_has_tunes_column_names_and_ours(whole):
    history = whole.get_dataframe()
    wanted = {
        "training_iteration", "time_total_s", "config/lambda", "upper_loss", "upper_loss_se",
        "gradient/lambda", "gradient_se/lambda", "ess", "pareto_k", "lower_loss", "nfe_total",
        "nfe_repeated", "worker_seconds_total", "num_workers", "shards_retried", "held_out",
        "seconds/denoiser", "seconds/rewards",
    }  # fmt: skip
    assert wanted <= set(history.columns)
    assert history["training_iteration"].tolist() == list(range(1, len(history) + 1))
    assert history["time_total_s"].is_monotonic_increasing


def test_the_ledger_counts_each_sample_once(whole):
    history = whole.get_dataframe()
    assert history["nfe_total"].iloc[:-1].tolist() == history["pool_size"].iloc[:-1].tolist()
    assert whole.summary["nfe_total"] == whole.metrics["pool_size"] + 2 * 32


def test_the_run_directory_is_laid_out_as_promised(whole):
    directory = whole.directory
    rounds = len(whole.get_dataframe())
    assert directory.has("summary.json")
    assert len(directory.list("history")) == len(directory.list("pool")) == rounds
    assert len(directory.list("checkpoints")) == 3
    assert directory.has("curve.parquet")
    assert not directory.has("pipeline/model_index.json")  # the model is a callable
    config = yaml.safe_load(directory.read("config.yaml"))
    assert config["problem"] == "reward"
    assert config["model"] == "toys:gaussian"
    assert config["lambda_"]["low"] == 1.0
    assert config["scaling"]["num_workers"] == [1, 2]
    assert config["run"]["seed"] == 3


def test_samples_follow_the_tuned_distribution(whole):
    """The tuned distribution is N(1 / lambda, 1) x N(0, 1)."""
    samples = whole.samples(4000, seed=1)
    assert samples.shape == (4000, 2)
    (p,) = whole.problem.objective(whole.state).at(whole.state["x"]).exact.tilts
    error = 4 * (1 / p.ess + 1 / 4000) ** 0.5
    assert abs(float(samples[:, 0].mean()) - 1 / whole.best_params["lambda"]) < error
    assert abs(float(samples[:, 0].std()) - 1) < error
    assert abs(float(samples[:, 1].mean())) < error


def test_samples_are_their_seeds(whole):
    assert whole.samples(70, seed=1).equal(whole.samples(70, seed=1))
    assert not whole.samples(70, seed=1).equal(whole.samples(70, seed=2))


def test_samples_are_at_least_one(whole):
    with pytest.raises(InputError, match="ask for at least one"):
        whole.samples(0)


def test_a_callable_has_no_pipeline(whole):
    with pytest.raises(InputError, match="holds no pipeline: its model is a callable"):
        whole.pipeline()


def test_a_result_is_read_by_its_path_alone(whole):
    again = Result(RunDirectory.at(whole.path))
    assert again.best_params == whole.best_params
    assert again.samples(3).equal(whole.samples(3))


def test_a_run_that_has_converged_is_not_run_on_by_a_larger_budget(whole, quiet):
    run = RunConfig(name="mine", seed=3, max_rounds=99)
    again = BilevelTuner.restore(whole.path, run=run, watch=lambda progress: None).fit()
    assert len(again.get_dataframe()) == len(quiet[1])
    assert again.status == "converged"


class Notes:
    """A driver that notes what it is to run, and runs nothing."""

    def drive(self, spec, watch):
        self.problem = spec.problem


def test_what_moves_is_pinned_before_it_is_stored_and_a_run_that_goes_on_keeps_it(
    cluster, tmp_path
):
    moving, driver = tuning(Moving), Notes()
    result = tuner(tmp_path, moving).sharing(driver).fit()
    found = result.problem.found
    assert found is not None
    assert driver.problem.found == found
    assert yaml.safe_load(result.directory.read("config.yaml"))["found"] == found
    assert moving.pinned().found == found + 1  # by now
    for again in (
        tuner(tmp_path, moving).resuming(),
        BilevelTuner.restore(result.path, watch=lambda progress: None),
    ):
        again.sharing(driver).fit()
        assert driver.problem.found == found
    with pytest.raises(InputError, match=rf"^found is 99, but the run in .* begun with {found};"):
        tuner(tmp_path, moving.but(found=99)).resuming().fit()


def test_restoring_with_another_seed_names_it(whole):
    with pytest.raises(InputError, match=r"^run\.seed is 4, but the run in .* was begun with 3"):
        BilevelTuner.restore(whole.path, run=RunConfig(seed=4)).fit()


def test_restoring_nothing_says_so(tmp_path):
    with pytest.raises(InputError, match=r"nothing is no run directory: it has no config\.yaml"):
        BilevelTuner.restore(str(tmp_path / "nothing"))


def test_callables_are_asked_for_again_and_a_stopped_run_goes_on_with_more_samples(
    cluster, tmp_path
):
    given = {"upper_reward": toys.bump, "pool_size": 200, "shard_size": 200}
    first = tuner(tmp_path, tuning(**given, max_pool_size=300), max_nfe=10**6).fit()
    assert first.status == "stopped"
    assert "raise max_pool_size (to " in first.reason
    with pytest.raises(InputError, match=r"upper_reward was the Python function toys\.bump.*probl"):
        BilevelTuner.restore(first.path)
    larger = tuning(**given, max_pool_size=4096, round_size=None)
    again = BilevelTuner.restore(first.path, larger, watch=lambda progress: None).fit()
    assert again.metrics["pool_size"] > 400
    assert again.metrics["upper_loss"] is not None
    pool = again.directory.read_table("pool")
    assert pool["seed"].is_unique
    assert (
        pool["seed"].iloc[:300].tolist()
        == first.directory.read_table("pool")["seed"].tolist()[:300]
    )
    rounds = len(again.get_dataframe())
    nearer = larger.but(lambda_=replace(LAMBDA, low=2.5))
    ended = BilevelTuner.restore(first.path, nearer, watch=lambda progress: None).fit()
    assert len(ended.get_dataframe()) > rounds  # not where its optimum is taken for granted
    assert ended.best_params["lambda"] >= 2.5


def test_a_budget_of_evaluations_ends_a_run(cluster, tmp_path):
    result = tuner(tmp_path, tuning(), max_nfe=1500).fit()
    assert result.status == "budget"
    assert result.reason == f"max_nfe 1500 is reached; raise it and resume{UNKNOWN}"
    assert result.summary["nfe_total"] == 2048  # whole rounds
    with pytest.warns(
        UserWarning, match=r"^samples at lambda 2\.2, which is no optimum: max_nfe 15"
    ):
        result.samples(2)
    result = BilevelTuner.restore(result.path, run=RunConfig(seed=3, max_nfe=2500),
                                  watch=lambda progress: None).fit()  # fmt: skip
    assert result.summary["nfe_total"] == 3072


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("detach", [False, True])
def test_what_a_reward_prints_on_a_probe_comes_before_the_live_line(detach, tmp_path, monkeypatch):
    def printing(samples):
        os.write(sys.stderr.fileno(), b"printed below Python\n")
        return samples[:, 0] * float("nan")  # refused: nothing begins

    terminal = Terminal(monkeypatch)
    run = RunConfig(name="mine", storage_path=str(tmp_path), detach=detach)
    with pytest.raises(InputError, match="gave nan on a probe batch"):
        BilevelTuner(tuning(upper_reward=printing), run=run).fit()
    assert terminal.lines() == ["printed below Python"]
