"""A configuration goes to YAML and back, and a resumed one is held to the first."""

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import toys
import yaml

from raybilevel import RewardTuning, RunConfig, ScalingConfig, Variable, config_file
from raybilevel.config_file import Config
from raybilevel.errors import InputError
from raybilevel.stored_config import check_same


def tuning(**changes):
    rewards = {"model": "toys:gaussian", "lower_reward": "toys:first", "upper_reward": "ink"}
    return RewardTuning(**(rewards | changes))


def config(**changes):
    return Config(tuning(**changes), ScalingConfig(), RunConfig(name="run"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gamma": 10.0, "pool_size": 100, "held_out_reward": "toys:second"},
        {"lambda_": 2.0, "weights": {"lower": Variable("w", 1.0, 0.5, 2.0)}},
        {"lower_reward": {"a": "ink", "b": "toys:first"}, "weights": {"a": 1.0, "b": 2.0}},
        {"upper_reward": None, "target": {"kl": 0.5}},
    ],
    ids=["defaults", "numbers", "variables", "several rewards", "a target"],
)
def test_a_configuration_comes_back_from_its_yaml(changes):
    before = config(**changes)
    after = config_file.build(config_file.parse(config_file.dump(before), "here"), "here")
    assert after == before


def test_what_a_check_caches_is_not_configuration():
    before = config(upper_reward="toys:near_one")
    text = config_file.dump(before)
    before.problem.check()
    assert config_file.dump(before) == text


def test_every_default_is_spelt_out():
    tree = yaml.safe_load(config_file.dump(config()))
    assert tree["problem"] == "reward"
    assert tree["gamma"] == math.inf
    assert tree["scaling"] == {
        "num_workers": [1, 8], "use_gpu": False, "gpus_per_worker": 1.0, "cpus_per_worker": 1,
        "min_workers_timeout_s": 1800.0,
    }  # fmt: skip
    assert tree["run"].keys() == RunConfig.model_fields.keys()
    assert {"name", "storage_path", "seed", "max_rounds", "max_nfe"} <= tree["run"].keys()


def test_a_callable_is_stored_by_name_for_reading_only():
    text = config_file.dump(config(upper_reward=toys.near_one))
    assert "<callable toys.near_one>" in text
    with pytest.raises(InputError, match=r"upper_reward was the Python function toys\.near_one"):
        config_file.build(config_file.parse(text, "config.yaml"), "config.yaml")


@dataclass
class Heavy:
    weights: np.ndarray

    def __call__(self, samples):
        return samples @ self.weights


def test_a_callable_that_is_a_dataclass_is_stored_by_name_too():
    tree = config_file.to_tree(config(upper_reward=Heavy(np.zeros(2))))
    assert tree["upper_reward"] == f"<callable {__name__}.Heavy>"


def written(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return path


FILE = "problem: reward\nmodel: toys:gaussian\nlower_reward: ink\nupper_reward: ink\n"


def test_overrides_go_on_top_of_the_file(tmp_path):
    overrides = ["pool_size=128", "run.name=b", "scaling.num_workers=[2, 3]", "gamma=.inf"]
    read = config_file.read(written(tmp_path, FILE + "pool_size: 64\n"), overrides)
    assert read.problem.pool_size == 128
    assert read.run.name == "b"
    assert read.scaling.num_workers == (2, 3)
    assert read.problem.gamma == math.inf


def test_modules_beside_the_file_are_found_whatever_directory_is_current(run_in, monkeypatch):
    folder = run_in / "far" / "away"
    folder.mkdir(parents=True)
    (folder / "beside_the_file.py").write_text("def reward(samples): return samples[:, 1]\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    text = FILE.replace("lower_reward: ink", "lower_reward: beside_the_file:reward")
    (folder / "c.yaml").write_text(text.replace("upper_reward: ink", "upper_reward: toys:first"))
    config_file.read(Path("far/away/c.yaml")).problem.check()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("pool_size", "has no '='"),
        ("pool_size.x=3", "goes into 'pool_size', which is no mapping"),
        ("run.name=[", "is no YAML"),
        ("bogus=3", "RewardTuning.bogus is not known"),
    ],
)
def test_an_override_that_is_wrong_is_named(tmp_path, override, said):
    with pytest.raises(InputError) as caught:
        config_file.read(written(tmp_path, FILE + "pool_size: 64\n"), [override])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "scaling", "run", "key"),
    [
        ({"pool_size": 99}, {}, {}, "pool_size"),
        ({"gamma": 3.0}, {}, {}, "gamma"),
        ({"lambda_": Variable("lambda", 2.0, 0.05, 20.0, "log")}, {}, {}, "lambda_.init"),
        ({"lambda_": 2.0, "weights": {"lower": Variable("w", 1, 0, 2)}}, {}, {}, "lambda_"),
        ({}, {"cpus_per_worker": 2}, {}, "scaling.cpus_per_worker"),
        ({}, {}, {"seed": 4}, "run.seed"),
    ],
)
def test_going_on_with_another_configuration_names_the_key(changes, scaling, run, key):
    old = config_file.to_tree(config())
    new = Config(tuning(**changes), ScalingConfig(**scaling), RunConfig(**({"name": "run"} | run)))
    with pytest.raises(InputError) as caught:
        check_same(old, new, "runs/run")
    assert str(caught.value).startswith(key)
    assert "runs/run was begun with" in str(caught.value)


def test_bounds_of_groups_and_weights_may_change_but_not_where_a_search_begins(tmp_path):
    (tmp_path / "prompts.csv").write_text("prompt,group\na seven,g.\n")
    prompts = str(tmp_path / "prompts.csv")

    def given(low, init=2.0):
        box = {"g.": Variable("v", init, low, 9.0)}
        rewards = {"one": "toys:first", "two": "toys:second"}
        weights = {"one": box, "two": 1.0}
        problem = tuning(prompts=prompts, lambda_=1.0, lower_reward=rewards, weights=weights)
        return Config(problem, ScalingConfig(), RunConfig(name="run"))

    old = config_file.to_tree(given(1.0))
    check_same(old, given(0.5), "runs/run")
    with pytest.raises(InputError, match=r"^weights\.one\.g\.\.init is 3"):
        check_same(old, given(0.5, init=3.0), "runs/run")


def test_workers_budgets_bounds_and_the_pools_limit_may_change():
    old = config_file.to_tree(config())
    wider = replace(tuning().lambda_, low=0.01, high=900.0)
    new = Config(
        tuning(max_pool_size=99999, lambda_=wider),
        ScalingConfig(num_workers=(1, 2)),
        RunConfig(name="run", max_rounds=3, max_nfe=9, storage_path="elsewhere"),
    )
    check_same(old, new, "runs/run")
