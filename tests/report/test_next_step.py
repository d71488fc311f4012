"""What a report says first: what to use, what would help, and how a run goes on."""

import json
import math

import pytest
import yaml

from raybilevel.report.next_step import mind_the_noise, or_what_helps
from raybilevel.result import Result
from raybilevel.runtime.storage import RunDirectory

RUN = {"max_rounds": 4, "max_nfe": None}
CONFIG = {"problem": "reward", "format": 3, "max_pool_size": 512, "run": RUN}


LAMBDA = {"name": "lambda", "init": 3.0, "low": 0.5, "high": 20.0, "scale": "log"}


def ended(tmp_path, status, reason, lambda_=LAMBDA, best=2.0):
    directory = RunDirectory(str(tmp_path), "run")
    directory.write("config.yaml", yaml.safe_dump(CONFIG | {"lambda_": lambda_}).encode())
    summary = {"status": status, "reason": reason, "metrics": {"pool_size": 768}, "rounds": 4}
    summary["best_params"] = {"lambda": best}
    directory.write("summary.json", json.dumps(summary).encode())
    return Result(directory)


@pytest.mark.parametrize(
    ("status", "reason", "more"),
    [
        ("stopped", "flat; raise max_pool_size (to 900)", " max_pool_size=3072"),
        ("stopped", "raise max_pool_size (it asks for about 66,000)", " max_pool_size=66000"),
        ("stopped", "lambda's upper reward has no gradient", ""),
        ("budget", "max_rounds 4 is reached; raise it and resume", " run.max_rounds=8"),
    ],
)
def test_a_run_that_may_go_on_is_told_how(tmp_path, status, reason, more):
    result = ended(tmp_path, status, reason)
    assert or_what_helps([("use", "this")], result) == [
        ("use", "this"),
        ("what would help", reason),
        ("go on with", f"raybilevel run {result.path} --resume{more}"),
    ]


@pytest.mark.parametrize(
    ("best", "more"), [(0.5 + 1e-15, "lambda_.low=0.05"), (20.0 - 1e-14, "lambda_.high=200")]
)
def test_a_bound_that_holds_lambda_is_moved_ten_times_as_far(tmp_path, best, more):
    result = ended(tmp_path, "at_bound", "the objective still falls", best=best)
    assert or_what_helps([("use", "this")], result)[1:] == [
        ("what would help", "the objective still falls"),
        ("go on with", f"raybilevel run {result.path} --resume {more}"),
    ]


def test_of_a_run_that_another_variable_holds_no_bound_of_lambda_is_moved(tmp_path):
    result = ended(tmp_path, "at_bound", "the objective still falls", best=2.0)
    assert or_what_helps([("use", "this")], result) == [("use", "this")]


def test_where_each_group_has_a_lambda_its_bounds_are_for_the_user_to_move(tmp_path):
    groups = {"a": LAMBDA, "low": LAMBDA}
    result = ended(tmp_path, "at_bound", "the objective still falls", groups)
    assert or_what_helps([("use", "this")], result) == [("use", "this")]


def test_what_converged_is_used(tmp_path):
    result = ended(tmp_path, "converged", "the gradient vanishes")
    assert or_what_helps([("use", "this")], result) == [("use", "this")]


def test_a_gain_is_noise_unless_its_interval_leaves_zero_out():
    assert mind_the_noise(-0.3, 0.1) == []
    ((name, said),) = mind_the_noise(-0.1, 0.1)
    assert name == "mind the noise" and "-0.1" in said and "0.2 (95 %)" in said
    assert mind_the_noise(math.nan, math.nan) == []
