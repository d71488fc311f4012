"""`ray job submit`, `ray job stop`, submit again, on a real head with a dashboard and a token."""

import shutil
import textwrap
from pathlib import Path

import pytest
from commands import each, finish, start
from schedule_toys import save_pipeline
from users import hurry, settle_without_torch, slow_down, write_module

from raybilevel import SamplingSchedule, config_file
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.quiet import differences

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

JOBS = Path(__file__).parents[2] / "jobs"

REWARD = """
    problem: reward
    model: parts:normal
    lower_reward: parts:first
    upper_reward: parts:bump
    lambda_: {name: lambda, init: 3.0, low: 0.5, high: 20.0, scale: log}
    pool_size: 1024
    max_pool_size: 1024
    shard_size: 32
    round_size: 128
    scaling: {num_workers: 1}
"""
PARTS = """
    import torch

    def normal(seeds):
        nap()
        draw = lambda seed: torch.randn(2, generator=torch.Generator().manual_seed(seed))
        return torch.stack([draw(seed) for seed in seeds])

    def first(samples):
        return samples[:, 0]

    def bump(samples):
        return torch.exp(-((samples[:, 0] - 0.5) ** 2) / 2)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A checkout's `jobs/`, and a user's module beside it."""
    shutil.copytree(JOBS, tmp_path / "jobs")
    write_module(tmp_path, "parts", PARTS)
    slow_down(tmp_path, 0.5)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configure(here, text, name):
    storage = f"run: {{name: {name}, seed: 3, storage_path: {here}/kept}}\n"
    (here / f"{name}.yaml").write_text(textwrap.dedent(text) + storage)


def submit(head, here, job, name, *words, attempt=1):
    command = ["python", f"jobs/{job}.py", "--config", f"{name}.yaml", *words]
    return head.begin(here, f"{job}-{name}-{attempt}", *command)


def rounds(here, name):
    folder = here / "kept" / name / "history"
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_a_job_that_is_stopped_half_way_and_submitted_again_ends_with_the_same_bits(head, here):
    """What is kept and what goes on is the runtime's, for each problem alike."""
    configure(here, REWARD, "stopped")
    first = submit(head, here, "reward", "stopped")
    head.wait(lambda: rounds(here, "stopped") >= 2 or head.over(first))
    head.ray("job", "stop", first)
    assert head.ended(first) == "STOPPED", head.logs(first)
    assert not (here / "kept/stopped/summary.json").exists()
    hurry(here)
    again = submit(head, here, "reward", "stopped", "--resume", attempt=2)
    assert head.ended(again) == "SUCCEEDED", head.logs(again)
    said = head.logs(again)
    assert f"{here}/kept/stopped" in said and "round" in said
    assert_as_without_ray(here, "stopped")


def test_a_model_is_pretrained_by_a_job(head, here):
    words = ["jobs/pretrain.py", "--output", f"{here}/kept/model", "--steps", "5"]
    job = head.begin(here, "pretrain", "python", *words)
    assert head.ended(job) == "SUCCEEDED", head.logs(job)
    assert "over the last 5 steps" in head.logs(job)
    SamplingSchedule(model=f"{here}/kept/model", data="digits").check()


def assert_as_without_ray(here, name):
    config = config_file.read(here / f"{name}.yaml", [])
    directory = RunDirectory(f"{here}/kept", name)
    assert not list(differences(directory, *run_locally(config.problem, config.run)))


def test_a_detached_run_outlives_its_job_and_is_found_again_by_the_next(head, here):
    configure(here, REWARD, "detached")
    first = submit(head, here, "reward", "detached", "run.detach=true")
    head.wait(lambda: rounds(here, "detached") >= 1 or head.over(first))
    slow_down(here, 10)  # the commands below nap too, as they try the model
    head.stop(first)
    assert head.ended(first) == "STOPPED", head.logs(first)
    run = f"{here}/kept/detached"
    assert f"{run} goes on: round " in call(head, "status", run).stdout

    other = call(head, "run", "detached.yaml", "--resume", "--address", head.gcs)
    assert other.returncode == 2
    assert "is going on already on this cluster" in other.stderr.splitlines()[-1]

    again = submit(head, here, "reward", "detached", "run.detach=true", attempt=2)
    head.wait(lambda: "round " in head.logs(again) or head.over(again))
    hurry(here)
    assert head.ended(again) == "SUCCEEDED", head.logs(again)
    assert f"{run} has ended after round 8" in call(head, "status", run).stdout
    assert rounds(here, "detached") == 8


def call(head, *words, **variables):
    token = {name: head.environment[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    return finish(start(*words, **({"RAY_ADDRESS": ""} | token | variables)))


def test_a_directory_with_a_configuration_and_a_reward_is_all_that_a_user_needs(
    head, tmp_path_factory
):
    elsewhere, folder = tmp_path_factory.mktemp("elsewhere"), tmp_path_factory.mktemp("demo")
    save_pipeline(elsewhere / "tiny")
    (folder / "mine.py").write_text("def ink(images):\n    return images.mean(dim=(1, 2, 3))\n")
    shutil.copy(JOBS / "configs/reward.yaml", folder)
    command = ["raybilevel", "run", "reward.yaml", "held_out_reward=mine:ink", "pool_size=512"]
    places = [f"model={elsewhere}/tiny", f"run.storage_path={elsewhere}/kept"]
    # where ESS is all that there is, whatever the classifier makes of noise
    believed = ["estimator=pool", "max_pool_size=512", "lambda_.high=1000"]
    few = "scaling.num_workers=1"  # each costs as much as all of the rest
    job = head.submit(folder, "demo", *command, few, *believed, *places)
    assert head.ended(job) == "SUCCEEDED", head.logs(job)
    history = RunDirectory(f"{elsewhere}/kept", "reward").read_table("history")
    assert history["held_out"].notna().iloc[-1]


def test_a_token_that_is_wrong_or_missing_is_said_in_a_sentence(head, run_in, tmp_path_factory):
    settle_without_torch(run_in, "untold")
    troubles = {
        "refuses this process's token": ("token", "0" * 64),
        "this process has none": ("token", ""),
        "or the lack of one": ("disabled", ""),
    }
    home = {"HOME": str(run_in), "RAY_ADDRESS": ""}  # where no token is kept
    commands = [
        (
            ("run", "c.yaml", "--address", head.gcs),
            {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": token} | home,
        )
        for mode, token in troubles.values()
    ]
    said = each(tmp_path_factory.mktemp("said") / "each", *commands)
    for trouble, done in zip(troubles, said, strict=True):
        assert done.returncode == 2
        (sentence,) = done.stderr.splitlines()
        assert trouble in sentence and "set RAY_AUTH_MODE=token" in sentence
