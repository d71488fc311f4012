"""What a process imports, and what it leaves out until it is used: everybody waits for it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

STAGES = """
import json, sys

HEAVY = "ray torch diffusers accelerate scipy sklearn pandas pyarrow matplotlib datasets".split()

def note(name):
    print(json.dumps([name, [module for module in HEAVY if module in sys.modules]]))

import raybilevel
note("raybilevel")
import raybilevel.cli.main, raybilevel.config_file, raybilevel.report, raybilevel.tuner
note("the command")
from raybilevel import RewardTuning
own = {"lower_reward": "users_own:mean", "upper_reward": "users_own:mean"}
RewardTuning(model="users_own:draw", **own).worker("cpu")
note("a worker whose model is a callable")
from raybilevel.lower.pretrained import pretrained
pretrained("digits")
note("the directory of a model that comes along")
from raybilevel.rewards import load_reward
load_reward("novelty + proxy_logit(3)", "lower_reward")
note("rewards that know the digits")
from raybilevel.data import load
[load(data).images[:2] for data in ("digits", "mnist5k", "users.npz", "users-images-idx3-ubyte")]
note("arrays of images")
RewardTuning(model="digits", **own).worker("cpu")
note("a worker that samples a pipeline")
"""

OWN = """
import torch

def draw(seeds):
    return torch.tensor(seeds).double()[:, None]

def mean(samples):
    return samples.flatten(1).mean(1)
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """By stage of one process that goes on, the heavy packages that it has imported so far."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "users_own.py").write_text(OWN)
    np.savez(folder / "users.npz", images=np.zeros((2, 4, 4), np.uint8))
    idx = bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 7, 8))
    (folder / "users-images-idx3-ubyte").write_bytes(idx)
    done = subprocess.run(
        [sys.executable, "-c", STAGES], capture_output=True, text=True, check=False, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {stage: set(modules) for stage, modules in map(json.loads, done.stdout.splitlines())}


def test_the_package_imports_nothing_heavy(imported):
    assert imported["raybilevel"] == set()


def test_the_command_needs_no_torch_and_no_ray_until_something_runs(imported):
    assert imported["the command"] <= {"scipy"}


def test_a_worker_whose_model_is_a_callable_needs_torch_alone(imported):
    assert imported["a worker whose model is a callable"] <= {"torch", "scipy"}


def test_what_comes_along_is_found_without_what_made_it(imported):
    for stage in ("the directory of a model that comes along", "rewards that know the digits"):
        assert imported[stage] <= {"torch", "scipy"}


def test_arrays_of_images_are_read_without_what_reads_tables(imported):
    assert imported["arrays of images"] <= {"torch", "scipy"}


def test_a_worker_that_samples_needs_diffusers_and_neither_scikit_learn_nor_pandas(imported):
    sampling = imported["a worker that samples a pipeline"]
    assert "diffusers" in sampling  # the stages are told apart
    assert not sampling & {"ray", "sklearn", "pandas", "pyarrow", "matplotlib", "datasets"}
