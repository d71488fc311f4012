"""Run after run by one driver and its workers: the bits of each by itself, whatever was before."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from toys import KILL, ChangesTorch, Descent, Held, first, gaussian, near_one

from raybilevel import RewardTuning, RunConfig, ScalingConfig
from raybilevel.errors import RunError
from raybilevel.runtime.process_state import ProcessState
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.shared_driver import SharedDriver
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.nodes import actor_pids
from raybilevel.testing.quiet import differences

pytestmark = pytest.mark.usefixtures("cluster")


def spec(problem, folder, name):
    run = RunConfig(name=name, storage_path=str(folder), seed=5)
    return RunSpec(problem, ScalingConfig(num_workers=2), run, name)


def with_torch():
    return RewardTuning(
        model=gaussian, lower_reward=first, upper_reward=near_one, pool_size=512, shard_size=64
    )


def assert_as_by_itself(folder, name, problem):
    directory = RunDirectory(str(folder), name)
    assert not list(differences(directory, *run_locally(problem, RunConfig(seed=5))))


def nothing(progress):
    pass


def wait_until_gone(*kinds):
    until = time.monotonic() + 60
    while any(actor_pids(kind) for kind in kinds):
        assert time.monotonic() < until, kinds
        time.sleep(0.1)


def test_one_run_after_another_has_its_own_bits_by_the_same_processes(tmp_path):
    """A, B, A, of which B loads another problem, and torch with it."""
    runs = {"a": Descent(), "b": with_torch(), "again": Descent()}
    pids = []
    with SharedDriver("shared") as driver:
        for name, problem in runs.items():
            driver.drive(spec(problem, tmp_path, name), nothing)
            pids.append(actor_pids("WorkerActor") + actor_pids("Driver"))
    assert pids[0] == pids[1] == pids[2]
    assert len(pids[0]) == 3
    for name, problem in runs.items():
        assert_as_by_itself(tmp_path, name, problem)
    wait_until_gone("WorkerActor", "Driver")
    history = RunDirectory(str(tmp_path), "again").read_table("history")
    assert history["workers_joined"].iloc[-1] == 2


def test_a_process_that_a_problem_has_changed_is_replaced(tmp_path):
    with SharedDriver("shared") as driver:
        driver.drive(spec(ChangesTorch(), tmp_path, "a"), nothing)
        before = actor_pids("WorkerActor")
        driver.drive(spec(with_torch(), tmp_path, "b"), nothing)
        assert not set(before) & set(actor_pids("WorkerActor"))
    assert_as_by_itself(tmp_path, "b", with_torch())


def test_a_driver_killed_in_its_second_run_goes_on_with_that_one(tmp_path):
    sign = tmp_path / "sign"

    def kill(progress):
        if progress.round == 1 and progress.shards_left and not sign.exists():
            os.kill(*actor_pids("Driver"), KILL)
            sign.touch()

    with SharedDriver("shared") as driver:
        driver.drive(spec(Descent(), tmp_path, "a"), nothing)
        driver.drive(spec(Descent(mishap=Held(sign, 1, 3)), tmp_path, "b"), kill)
    assert sign.exists()
    assert_as_by_itself(tmp_path, "b", Descent())


def test_workers_given_back_are_asked_for_again(tmp_path):
    with SharedDriver("shared") as driver:
        driver.end_workers()  # of none
        driver.drive(spec(Descent(), tmp_path, "a"), nothing)
        driver.end_workers()
        wait_until_gone("WorkerActor")
        driver.drive(spec(Descent(), tmp_path, "b"), nothing)
    assert_as_by_itself(tmp_path, "b", Descent())


def test_what_ends_a_run_is_raised_and_the_next_one_runs(tmp_path):
    class Broken(Descent):
        def run_round(self, round_, state):
            raise ArithmeticError("not this one")
            yield

    with SharedDriver("shared") as driver:
        with pytest.raises(RunError, match="not this one"):
            driver.drive(spec(Broken(), tmp_path, "a"), nothing)
        driver.drive(spec(Descent(), tmp_path, "b"), nothing)
    assert_as_by_itself(tmp_path, "b", Descent())


def test_paths_variables_and_generators_are_put_back(tmp_path, monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.chdir(tmp_path)
    process = ProcessState()
    os.environ["ADDED"], os.environ["KEPT"] = "2", "3"
    monkeypatch.chdir(tmp_path.parent)
    np.random.seed(0)  # noqa: NPY002
    drawn = np.random.random()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    assert process.reset("cpu")
    assert "ADDED" not in os.environ
    assert os.environ["KEPT"] == "1"
    assert Path.cwd() == tmp_path
    assert np.random.random() != drawn  # noqa: NPY002
