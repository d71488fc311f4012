"""Workers that die, raise, hang or come late, on a real Ray: what it costs, and what ends a run."""

import subprocess
import sys
import time

import numpy as np
import pytest
from commands import environment
from toys import (
    Descent,
    Ear,
    Fatal,
    Once,
    OneIsSlow,
    Stall,
    Unloadable,
    WrongLater,
    die,
    fail,
    first,
    gaussian,
    nan_rarely,
    steps,
)

from raybilevel import RewardTuning, RunConfig, ScalingConfig
from raybilevel.errors import InputError, RunError
from raybilevel.problems.base import Stage
from raybilevel.runtime.client import drive
from raybilevel.runtime.execution.executor import StageExecutor
from raybilevel.runtime.numbering import NumberedStage
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.serialization import Serialized
from raybilevel.runtime.storage import RunDirectory

pytestmark = pytest.mark.usefixtures("cluster")


def run(problem, tmp_path, workers=2):
    """Run on Ray; gives the history."""
    config = RunConfig(name="run", storage_path=str(tmp_path), seed=5)
    order = RunSpec(problem, ScalingConfig(num_workers=workers), config, "run")
    drive(order, lambda progress: None)
    return RunDirectory(str(tmp_path), "run").read_table("history")


@pytest.fixture
def marks(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


ALONE = """
import sys
import ray
from toys import TorchSeen
from raybilevel import RunConfig, ScalingConfig
from raybilevel.runtime.client import drive
from raybilevel.runtime.run_spec import RunSpec

ray.init(log_to_driver=False)
run = RunConfig(name="run", storage_path=sys.argv[1])
drive(RunSpec(TorchSeen(sys.argv[2]), ScalingConfig(num_workers=2), run, "run"), lambda _: None)
"""


def test_a_problem_without_torch_runs_without_it(cluster, tmp_path, marks):
    """From a process of its own, whose workers are no forks: those have torch already."""
    words = [sys.executable, "-c", ALONE, str(tmp_path), str(marks)]
    subprocess.run(words, env=environment(RAY_ADDRESS=cluster), check=True)
    assert {mark.name for mark in marks.iterdir()} == {"driver False", "worker False"}


def test_a_shard_that_raises_twice_is_tried_again_and_costs_nothing_else(tmp_path, marks):
    mishap = Once(marks, fail, times=2)
    history = run(Descent(mishap=mishap), tmp_path)
    assert mishap.happened == 4  # twice in each of the round's two stages
    _, quiet = run_locally(Descent(), RunConfig(seed=5))
    assert history["config/x"].tolist() == [row["config/x"] for row in quiet]
    assert history["nfe_total"].tolist() == [row["nfe_total"] for row in quiet]
    assert history["shards_retried"].iloc[-1] == 4
    assert history["nfe_repeated"].iloc[-1] == 4 * 7


def test_a_shard_that_raises_three_times_ends_the_run_with_its_own_error(tmp_path, marks):
    mishap = Once(marks, fail, times=9)
    with pytest.raises(RunError) as caught:
        run(Descent(mishap=mishap), tmp_path)
    said = "shard 2 of round 1, stage 0 (Step) raised 3 times: ArithmeticError: the lower level"
    assert str(caught.value).startswith(said)
    assert mishap.happened == 3
    assert "in fail" in caught.value.__notes__[0]  # the traceback leads to the shard's own line


def test_five_deaths_on_one_shard_end_the_run_and_name_it(tmp_path, marks):
    mishap = Once(marks, die, times=9)
    with pytest.raises(RunError, match=r"^5 workers died while running shard 2 of round 1"):
        run(Descent(mishap=mishap), tmp_path, workers=1)
    # one or another may be laid on the shard before, whose answer was lost with the worker
    assert 5 <= mishap.happened < 9


def test_nan_ends_the_run_at_once_and_names_reward_and_seed(tmp_path):
    problem = RewardTuning(
        model=gaussian, lower_reward=first, upper_reward=nan_rarely, pool_size=4096
    )
    with pytest.raises(
        RunError, match=r"^reward 'upper' gave nan for the sample of seed \d+;"
    ) as e:
        run(problem, tmp_path)
    seed = int(str(e.value).split("seed ")[1].split(";")[0])
    assert gaussian([seed])[0, 0] > 3  # it is the sample that did it


def test_a_model_that_fails_to_load_ends_the_run_with_its_error(tmp_path):
    with pytest.raises(RunError, match=r"could not load the problem: .*no weights on this machine"):
        run(Unloadable(), tmp_path)


def test_workers_that_die_while_loading_end_the_run(tmp_path):
    with pytest.raises(RunError, match=r"^workers died 5 times in a row while loading the problem"):
        run(Fatal(), tmp_path, workers=1)


def test_a_reward_that_turns_wrong_later_is_the_users_error(tmp_path):
    problem = RewardTuning(
        model=gaussian, lower_reward=first, upper_reward=WrongLater(), pool_size=128
    )
    problem.check()
    with pytest.raises(InputError, match=r"^reward 'upper' returned numbers of shape \(64, 2\)"):
        run(problem, tmp_path)


@pytest.fixture
def executor():
    """Makes a executor of two ready workers, closed at the end."""
    executors = []

    def make(mishap):
        scaling = ScalingConfig(num_workers=2)
        executors.append(StageExecutor(Serialized.dump(Descent(mishap=mishap)), scaling, 5, Ear()))
        executors[-1].run(stage(9, size=8))  # until both are ready, and the median is known
        return executors[-1]

    yield make
    for one in executors:
        one.close()


def stage(round_, size=4):
    return NumberedStage(round_, 0, Stage(steps(round_, 0, size), {"x": np.zeros(1)}))


def wanted(round_, size=4):
    """The stage's output as one process gives it."""
    worker = Descent().worker("cpu")
    return [worker.run(s.shard, {"x": np.zeros(1)}, s.key(5)) for s in stage(round_, size).shards]


def test_a_straggler_runs_elsewhere_and_its_old_answer_is_never_taken_for_a_new_ones(
    marks, executor
):
    for round_ in (9, *range(1, 200)):  # only round 0 is slow
        (marks / f"{round_}-0-0").touch()
    workers = executor(Stall(marks, 5.0))
    started = time.monotonic()
    first_output, costs = workers.run(stage(0))
    assert time.monotonic() - started < 5.0  # nobody waited for the straggler
    assert costs["shards_retried"] == 1
    assert costs["nfe_repeated"] == 7
    assert_right(first_output, 0)
    round_ = 1
    while time.monotonic() - started < 6.5:  # the late answer comes in one of these stages
        output, costs = workers.run(stage(round_))
        assert_right(output, round_)
        assert costs["shards_retried"] == 0
        round_ += 1
    assert round_ > 2


def test_a_slow_worker_does_not_hold_up_a_stage_that_others_end_sooner(marks, executor):
    workers = executor(OneIsSlow(marks))
    started = time.monotonic()
    output, _ = workers.run(stage(0))
    assert time.monotonic() - started < 3.0  # 4 with any on the slow one
    assert_right(output, 0)


def assert_right(output, round_):
    rows = np.concatenate([one.rows["draw"] for one in wanted(round_)])
    assert output.rows["draw"].tobytes() == rows.tobytes()
    assert output.nfe == 4 * 7
