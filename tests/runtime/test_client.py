"""Ctrl-C and SIGTERM end a run before its shards end; it goes on to the same bits."""

import signal
import time

import psutil
import ray
from commands import finish, start, wait_for_line
from users import hurry, settle, settle_without_torch, slow_down, worker_pids

from raybilevel import config_file
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.driver import NAMESPACE
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.quiet import differences


def interrupt(process, number, here):
    """Signal the command after its second round, and wait for its end: sooner than its shards'."""
    wait_for_line(process, "round 2")
    slow_down(here, 600)  # lest it be over before the signal
    process.send_signal(number)
    done = finish(process)
    hurry(here)
    return done


def assert_gone(pids, seconds=60.0):
    until = time.monotonic() + seconds
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def assert_says_how_to_go_on(done, here):
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("raybilevel: interrupted; what is checkpointed stays")
    assert "--resume" in sentence
    assert f"BilevelTuner.restore('{here}/runs/mine').fit()" in sentence
    assert "Traceback" not in done.stderr


def test_an_interrupted_run_stops_without_waiting_for_its_shards(cluster, run_in):
    settle(run_in, "interrupted", nap=0.25)
    done = interrupt(start("run", "c.yaml", "--address", cluster), signal.SIGTERM, run_in)
    assert done.returncode == 1
    assert_says_how_to_go_on(done, run_in)
    assert_gone(worker_pids(run_in))
    assert not [a for a in ray.util.list_named_actors(True) if a["namespace"] == NAMESPACE]


def test_ctrl_c_takes_the_runs_own_ray_with_it_and_another_goes_on_to_the_same_bits(
    cluster, run_in, monkeypatch
):
    """With its modules beside its file, on a Ray of its own; then it is moved, to another Ray."""
    mine = run_in / "mine"
    scratch = run_in / ("too-long-for-sockets-" * 4)
    mine.mkdir()
    scratch.mkdir()
    settle_without_torch(mine, "own_ray", nap=0.25)
    process = start("run", "mine/c.yaml", RAY_ADDRESS="", TMPDIR=str(scratch))
    wait_for_line(process, f"the temporary directory {scratch} is too long for the names of Ray's")
    wait_for_line(process, "round 1")
    ours = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    assert len(ours) > 3
    done = interrupt(process, signal.SIGINT, mine)
    assert done.returncode == 1
    assert_says_how_to_go_on(done, run_in)
    assert_gone(ours)

    directory = RunDirectory(f"{run_in}/other", "renamed")
    (run_in / "other").mkdir()
    (run_in / "runs" / "mine").rename(directory.path)
    assert Checkpoints(directory).read().record["round"] < 4
    assert not directory.has("summary.json")
    monkeypatch.chdir(mine)
    command = ("run", "../other/renamed", "--resume", "--address", cluster)
    done = finish(start(*command, PYTHONIOENCODING="ascii"))
    assert done.returncode == 0
    assert " +- " in done.stdout
    assert not (mine / "runs").exists()
    config = config_file.read(mine / "c.yaml")
    assert not list(differences(directory, *run_locally(config.problem, config.run)))


def test_a_killed_command_takes_its_actors_with_it(cluster, run_in):
    settle_without_torch(run_in, "killed", nap=0.25)
    process = start("run", "c.yaml", "--address", cluster)
    wait_for_line(process, "round 2")
    slow_down(run_in, 600)
    process.kill()
    finish(process)
    assert_gone(worker_pids(run_in))


def test_a_run_that_goes_on_cannot_be_resumed_beside_it(cluster, run_in):
    settle_without_torch(run_in, "twice", nap=3.0)
    command = ("run", "c.yaml", "--address", cluster)
    one = start(*command)
    wait_for_line(one, "round 1")
    slow_down(run_in, 600)
    other = finish(start(*command, "--resume"))
    one.terminate()
    finish(one)
    assert other.returncode == 2
    (sentence,) = other.stderr.splitlines()
    assert sentence.startswith(f"raybilevel: the run {run_in}/runs/mine is going on already")
    assert sentence.endswith("wait for its end, stop it, or give another run.name")
