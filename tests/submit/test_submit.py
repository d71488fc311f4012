"""`ray job submit`, `ray job stop`, submit again, on a real head with a dashboard and a token."""

import shutil
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest
from commands import finish, start
from schedule_toys import save_pipeline
from users import hurry, settle, slow_down, write_module

from raybilevel import config_file
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
SCHEDULE = """
    data: digits
    extractor: parts:Pixels
    second_extractor: parts:Pixels
    sampling_steps: 2
    estimation: {samples: 32, shard_size: 16}
    optimizer: {directions: 2, updates: 4}
    comparison: {samples: 128}
    scaling: {num_workers: 1}
"""
SAMPLING = SCHEDULE + "    problem: sampling_schedule\n    model: tiny\n"
TRAINING = (
    SCHEDULE
    + """\
    problem: training_schedule
    training:
      {rounds: 12, warmup: 5, shards: 2, inner_steps: 3, batch_size: 16, evaluate_every: 4}
    network: {block_out_channels: [8, 16], norm_num_groups: 4}
"""
)
COMPARED = (
    REWARD.replace("1024", "512")
    + """\
    compare: {searches: [random], seeds: 1, trials: 2, score_samples: 256}
"""
)
COMPARED_SAMPLING = (
    SAMPLING
    + """\
    compare: {searches: [random], seeds: 1, trials: 1, score_samples: 64}
"""
)
PARTS = """
    def normal(seeds):
        nap()
        draw = lambda seed: torch.randn(2, generator=torch.Generator().manual_seed(seed))
        return torch.stack([draw(seed) for seed in seeds])

    def first(samples):
        return samples[:, 0]

    def bump(samples):
        return torch.exp(-((samples[:, 0] - 0.5) ** 2) / 2)

    class Pixels(torch.nn.Module):
        def forward(self, images):
            nap(0.2)
            return images.flatten(1)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A checkout's `jobs/`, and a user's module beside it."""
    shutil.copytree(JOBS, tmp_path / "jobs")
    write_module(tmp_path, "parts", PARTS)
    slow_down(tmp_path, 0.5)
    save_pipeline(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configure(here, text, name):
    storage = f"run: {{name: {name}, seed: 3, storage_path: {here}/kept}}\n"
    (here / f"{name}.yaml").write_text(textwrap.dedent(text) + storage)


def submit(head, here, job, name, *words, attempt=1):
    command = ["python", f"jobs/{job}.py", "--config", f"{name}.yaml", *words]
    return head.submit(here, f"{job}-{name}-{attempt}", *command)


def rounds(here, name):
    folder = here / "kept" / name / "history"
    return len(list(folder.iterdir())) if folder.exists() else 0


RUNS = {"reward": REWARD, "sampling_schedule": SAMPLING, "train_schedule": TRAINING}


def test_jobs_that_are_stopped_half_way_and_submitted_again_end_with_the_same_bits(head, here):
    first = {}
    for job, text in RUNS.items():
        configure(here, text, job)
        first[job] = submit(head, here, job, job)
    stop_half_way(head, here, dict(first))
    for one in first.values():
        assert head.ended(one) == "STOPPED", head.logs(one)
    assert not list((here / "kept").glob("*/summary.json"))
    hurry(here)
    again = {job: submit(head, here, job, job, "--resume", attempt=2) for job in RUNS}
    for job, one in again.items():
        assert head.ended(one) == "SUCCEEDED", head.logs(one)
        said = head.logs(one)
        assert f"{here}/kept/{job}" in said and "round" in said
        config = config_file.read(here / f"{job}.yaml")
        directory = RunDirectory(f"{here}/kept", job)
        assert not list(differences(directory, *run_locally(config.problem, config.run))), job


def test_comparisons_are_jobs_too_and_one_that_is_stopped_half_way_finds_what_it_would_have(
    head, here
):
    for name in ("stopped", "quiet"):
        configure(here, COMPARED, name)
    configure(here, COMPARED_SAMPLING, "schedule")
    first = submit(head, here, "compare_reward", "stopped")
    done = here / "kept/stopped/methods"
    head.wait(lambda: any(done.glob("*/done.json")) or head.over(first))
    head.ray("job", "stop", first)
    assert head.ended(first) == "STOPPED", head.logs(first)
    hurry(here)
    quiet = submit(head, here, "compare_reward", "quiet")
    schedule = submit(head, here, "compare_schedule", "schedule")
    again = submit(head, here, "compare_reward", "stopped", "--resume", attempt=2)
    for job in (again, quiet, schedule):
        assert head.ended(job) == "SUCCEEDED", head.logs(job)
    pd.testing.assert_frame_equal(*(found(here / "kept" / n) for n in ("stopped", "quiet")))
    assert set(found(here / "kept/schedule")["method"]) == {"bilevel", "random"}


def stop_half_way(head, here, going):
    """Stop each as soon as it has made two rounds, or has ended."""
    while going:
        there = [job for job in going if rounds(here, job) >= 2 or head.over(going[job])]
        for job in there:
            head.ray("job", "stop", going.pop(job))
        time.sleep(0.1)


def found(folder):
    """By method and score; in which order trials at the same time end is chance."""
    frame = pd.read_parquet(folder / "comparison.parquet")
    columns = ["method", "upper_loss", *(c for c in frame if c.startswith("config/"))]
    return frame[columns].sort_values(columns, ignore_index=True)


def test_a_model_is_pretrained_by_a_job(head, here):
    words = ["jobs/pretrain.py", "--output", f"{here}/kept/model", "--steps", "5"]
    job = head.submit(here, "pretrain", "python", *words)
    assert head.ended(job) == "SUCCEEDED", head.logs(job)
    assert (here / "kept/model/model_index.json").exists()
    assert "over the last 5 steps" in head.ray("job", "logs", job).stdout


def test_a_detached_run_outlives_its_job_and_is_found_again_by_the_next(head, here):
    configure(here, REWARD, "detached")
    first = submit(head, here, "reward", "detached", "run.detach=true")
    head.wait(lambda: rounds(here, "detached") >= 1 or head.over(first))
    slow_down(here, 10)  # the commands below nap too, as they try the model
    head.ray("job", "stop", first)
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
    believed = ["max_pool_size=512", "lambda_.high=1000"]
    job = head.submit(folder, "demo", *command, *believed, *places)
    assert head.ended(job) == "SUCCEEDED", head.logs(job)
    history = RunDirectory(f"{elsewhere}/kept", "reward").read_table("history")
    assert history["held_out"].notna().iloc[-1]


@pytest.mark.parametrize(
    ("variables", "trouble"),
    [
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}, "refuses this process's token"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": ""}, "this process has none"),
        ({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""}, "or the lack of one"),
    ],
)
def test_a_token_that_is_wrong_or_missing_is_said_in_a_sentence(head, run_in, variables, trouble):
    settle(run_in, "untold")
    home = {"HOME": str(run_in)}  # where no token is kept
    done = call(head, "run", "c.yaml", "--address", head.gcs, **variables, **home)
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert trouble in sentence and "set RAY_AUTH_MODE=token" in sentence
