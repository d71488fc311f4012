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


def ended(tmp_path, status, reason):
    directory = RunDirectory(str(tmp_path), "run")
    directory.write("config.yaml", yaml.safe_dump(CONFIG).encode())
    summary = {"status": status, "reason": reason, "metrics": {"pool_size": 768}, "rounds": 4}
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


def test_what_converged_is_used(tmp_path):
    result = ended(tmp_path, "converged", "the gradient vanishes")
    assert or_what_helps([("use", "this")], result) == [("use", "this")]


def test_a_gain_is_noise_unless_its_interval_leaves_zero_out():
    assert mind_the_noise(-0.3, 0.1) == []
    ((name, said),) = mind_the_noise(-0.1, 0.1)
    assert name == "mind the noise" and "-0.1" in said and "0.2 (95 %)" in said
    assert mind_the_noise(math.nan, math.nan) == []
