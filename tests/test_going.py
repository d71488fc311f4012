"""Detached runs: they go on without the command, are found again, joined, and stopped."""

import signal
import time

import pytest
import ray
from commands import finish, start, wait_for_line
from users import hurry, settle, slow_down

from raybilevel import configfile
from raybilevel.runtime.driver import NAMESPACE
from raybilevel.runtime.run import run_locally
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.quiet import differences


@pytest.fixture(autouse=True)
def drivers_that_stay_are_ended():
    """A detached one would wait for a last word, on a cluster that other tests share."""
    yield
    for actor in ray.util.list_named_actors(True) if ray.is_initialized() else []:
        if actor["namespace"] == NAMESPACE:
            ray.kill(ray.get_actor(actor["name"], namespace=NAMESPACE))


def assert_as_if_undisturbed(here, module):
    config = configfile.read(here / "c.yaml")
    directory = RunDirectory(f"{here}/runs", "mine")
    assert not list(differences(directory, *run_locally(config.problem, config.run)))


def call(*arguments):
    return finish(start(*arguments, RAY_ADDRESS=""))


def test_a_detached_run_goes_on_without_the_command_and_is_joined_again(cluster, run_in):
    settle(run_in, "detached", nap=2.0)
    command = ("run", "c.yaml", "run.detach=true", "--address", cluster)
    one = start(*command)
    wait_for_line(one, "round 1")
    slow_down(run_in, 600)
    one.send_signal(signal.SIGINT)
    done = finish(one)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"raybilevel: the run goes on without this process: raybilevel status {run_in}/runs/mine, "
        "or stop"
    )
    standing = call("status", "mine")
    assert standing.returncode == 0
    assert standing.stdout.startswith(f"{run_in}/runs/mine goes on: round ")
    hurry(run_in)
    again = finish(start(*command))
    assert again.returncode == 0, again.stderr
    assert "round 1 " in again.stderr  # with all rounds that it had missed
    assert_as_if_undisturbed(run_in, "detached")
    assert "has ended after round 4: " in call("status", "mine").stdout


def test_a_detached_run_outlives_a_command_that_is_killed_and_can_be_stopped(cluster, run_in):
    settle(run_in, "stopped", nap=2.0)
    command = ("run", "c.yaml", "run.detach=true", "--address", cluster)
    one = start(*command)
    wait_for_line(one, "round 1")
    slow_down(run_in, 600)
    one.kill()
    finish(one)
    time.sleep(1)
    stopped = call("stop", "runs/mine")
    hurry(run_in)
    assert stopped.returncode == 0
    assert "and nobody works on it: go on with --resume" in stopped.stdout
    twice = call("stop", "runs/mine")
    assert twice.returncode == 2
    assert twice.stderr.startswith(f"raybilevel: {run_in}/runs/mine does not go on: ")
    resumed = finish(start(*command, "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    assert_as_if_undisturbed(run_in, "stopped")


@pytest.mark.parametrize("command", ["status", "stop"])
def test_a_run_that_nobody_knows_lists_the_known(run_in, command):
    for name in ("one", "two"):
        RunDirectory(f"{run_in}/runs", name).write("driver.json", b"{}")
    done = call(command, "three")
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert sentence == f"raybilevel: there is no run {run_in}/runs/three; known there: one, two"


def test_a_local_ray_cannot_keep_a_run(run_in):
    settle(run_in, "local")
    done = call("run", "c.yaml", "run.detach=true")
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("raybilevel: run.detach is set, but a local Ray ends with this")
