"""Detached runs: they go on without the command, are found again, joined, and stopped."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest
import ray
from commands import finish, start, wait_for_line
from users import hurry, settle, settle_without_torch, slow_down

from raybilevel import config_file
from raybilevel.cli import control
from raybilevel.cli import main as cli
from raybilevel.errors import InputError
from raybilevel.runtime.driver import NAMESPACE
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.nodes import actor_pids, kill_actor
from raybilevel.testing.quiet import differences


@pytest.fixture(autouse=True)
def drivers_that_stay_are_ended():
    """A detached one would wait for a last word, on a cluster that other tests share."""
    yield
    for actor in ray.util.list_named_actors(True) if ray.is_initialized() else []:
        if actor["namespace"] == NAMESPACE:
            ray.kill(ray.get_actor(actor["name"], namespace=NAMESPACE))


def assert_as_if_undisturbed(here, module):
    config = config_file.read(here / "c.yaml")
    directory = RunDirectory(f"{here}/runs", "mine")
    assert not list(differences(directory, *run_locally(config.problem, config.run)))


def call(*arguments):
    return finish(start(*arguments, RAY_ADDRESS=""))


def is_dead(pid):
    """Whether Ray has noticed that a process which had joined it is gone."""
    (job,) = [job for job in ray._private.state.jobs() if job["DriverPid"] == pid]
    return job["IsDead"]


def wait_until(come, seconds=120):
    until = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < until, "it has not come"
        time.sleep(0.2)


def test_a_detached_run_goes_on_without_the_command_and_is_joined_again(cluster, run_in):
    settle_without_torch(run_in, "detached", nap=1.0)
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
    (standing,) = control.status(control.find("mine"), None)
    assert "has ended after round 4: " in standing


def test_a_detached_run_outlives_a_command_that_is_killed_and_can_be_stopped(cluster, run_in):
    settle_without_torch(run_in, "stopped", nap=1.0)
    command = ("run", "c.yaml", "run.detach=true", "--address", cluster)
    one = start(*command)
    wait_for_line(one, "round 1")
    slow_down(run_in, 600)
    one.kill()
    finish(one)
    wait_until(lambda: is_dead(one.pid))
    stopped = call("stop", "runs/mine")
    hurry(run_in)
    assert stopped.returncode == 0
    assert "and nobody works on it: go on with --resume" in stopped.stdout
    with pytest.raises(InputError, match=f"^{run_in}/runs/mine does not go on: "):
        control.stop(control.find("runs/mine"), None)
    resumed = finish(start(*command, "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    assert_as_if_undisturbed(run_in, "stopped")


HEAVY = """
    import sys
    from dataclasses import dataclass
    from pathlib import Path

    import numpy as np

    from raybilevel import BilevelTuner, config_file

    @dataclass
    class Heavy:
        weights: np.ndarray

        def __call__(self, samples):
            return samples[:, 0] + float(self.weights[0])

    if __name__ == "__main__":
        config = config_file.read(Path("c.yaml"), ["run.detach=true"])
        problem = config.problem.but(lower_reward=Heavy(np.zeros(200_000)))
        BilevelTuner(problem, config.scaling, config.run, address=sys.argv[1]).fit()
"""


def test_a_reward_with_weights_of_its_own_outlives_its_script_and_its_driver(cluster, run_in):
    settle(run_in, "heavy", nap=1.0)
    (run_in / "script.py").write_text(textwrap.dedent(HEAVY))
    script = subprocess.Popen([sys.executable, "script.py", cluster])
    wait_until((run_in / "runs/mine/checkpoints/000001/MANIFEST.json").exists)
    slow_down(run_in, 600)
    script.kill()
    script.wait()
    (driver,) = actor_pids("Driver")
    kill_actor(driver)
    wait_until(lambda: actor_pids("Driver") not in ([], [driver]))
    hurry(run_in)
    wait_until((run_in / "runs/mine/summary.json").exists)
    assert_as_if_undisturbed(run_in, "heavy")


@pytest.mark.parametrize("command", ["status", "stop"])
def test_a_run_that_nobody_knows_lists_the_known(run_in, command, monkeypatch, capsys):
    for name in ("one", "two"):
        RunDirectory(f"{run_in}/runs", name).write("driver.json", b"{}")
    monkeypatch.setattr(sys, "argv", ["raybilevel", command, "three"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence == f"raybilevel: there is no run {run_in}/runs/three; known there: one, two"


def test_a_local_ray_cannot_keep_a_run(run_in):
    settle_without_torch(run_in, "local")
    done = call("run", "c.yaml", "run.detach=true")
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("raybilevel: run.detach is set, but a local Ray ends with this")
