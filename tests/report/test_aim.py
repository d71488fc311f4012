"""What a run with a target says of itself, in its table and its picture."""

import re

import pytest
from toys import bump

from raybilevel import Result, RewardTuning, RunConfig, ScalingConfig, Variable
from raybilevel.config_file import Config, dump
from raybilevel.report.reward import lines, picture
from raybilevel.runtime.environment import Environment
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory
from raybilevel.runtime.summary import summarise


def ended(target, folder):
    """A run that has, written down; its state too."""
    problem = RewardTuning(
        model="toys:gaussian", lower_reward="toys:first", held_out_reward=bump, target=target,
        lambda_=Variable("lambda", 2.0, 1.2, 20.0, "log"), pool_size=1024, round_size=1024,
    )  # fmt: skip
    run, _ = run_locally(problem)
    folder.mkdir()
    directory = RunDirectory(str(folder.parent), folder.name)
    config = Config(problem, ScalingConfig(), RunConfig())
    directory.write("config.yaml", dump(config).encode())
    directory.write("summary.json", summarise(run, Environment()))
    return Result(directory, problem), run.state


@pytest.mark.parametrize(
    ("target", "name", "said"),
    [
        ({"kl": 0.08}, "KL", r"0\.0800 ± 0\.00\d\d nats"),
        ({"reward": "held_out", "at_least": 0.7}, "reward held_out", r"0\.7000 ± 0\.0\d\d\d"),
    ],
    ids=["kl", "reward"],
)
def test_what_is_reached_has_the_name_of_the_target(target, name, said, tmp_path):
    result, _ = ended(target, tmp_path / "run")
    said_of = dict(lines(result))
    assert re.fullmatch(said, said_of[name]), said_of
    assert "upper loss" not in said_of


def test_the_curve_is_the_kl_over_lambda_and_is_drawn(tmp_path):
    result, state = ended({"kl": 0.08}, tmp_path / "run")
    result.problem.export(state, tmp_path / "run")
    curve = result.directory.read_frame("curve.parquet")
    known = 0.5 / curve["value"] ** 2  # of a Gaussian reward of spread one
    assert ((curve["target"] - known).abs() < 4 * curve["target_se"]).all()
    assert picture(result).startswith(b"\x89PNG")
