"""Whole problems on the GPU: the same bits twice, and what only a GPU has."""

import numpy as np
import pytest
from schedule_toys import learning, save_pipeline, tuning

from raybilevel import RewardTuning, RunConfig, Variable
from raybilevel.runtime.rounds import run_locally


def reward(model):
    """A pool of one round, with a built-in that has a network of its own."""
    lambda_ = Variable("lambda", 3.0, 0.5, 20.0, "log")
    return RewardTuning(
        model=model, sampling_steps=5, lower_reward="ink", upper_reward="class_log_prob(3)",
        lambda_=lambda_, pool_size=256, max_pool_size=256, shard_size=64,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_pipeline(tmp_path_factory.mktemp("model") / "pipeline")


def penalised(z_step):
    return learning(penalty={"z_step": z_step, "gamma": 100.0})


PROBLEMS = {
    "reward": reward,
    "sampling schedule": tuning,
    "training": lambda model: learning(),
    "training, z truncated": lambda model: penalised("truncated"),
    "training, z zeroth-order": lambda model: penalised("zeroth_order"),
    "training by the step": lambda model: learning(conditioning="step"),
    "training in bf16": lambda model: learning(mixed_precision="bf16"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_has_the_same_bits_twice(model, forget, name):
    states = [
        run_locally(PROBLEMS[name](model), RunConfig(seed=5), device="cuda")[0].state
        for _ in range(2)
    ]
    assert states[0].keys() == states[1].keys()
    for array in states[0]:
        assert states[0][array].tobytes() == states[1][array].tobytes(), array


@pytest.mark.parametrize("changes", [{"mixed_precision": "bf16"},
                                     {"training": {"compile": True}}], ids=str)  # fmt: skip
def test_a_faster_training_goes_the_same_way(forget, changes):
    losses = []
    for options in ({}, changes):
        forget()
        _, rows = run_locally(learning(**options), RunConfig(seed=5), device="cuda")
        losses.append([row["lower_loss"] for row in rows if "lower_loss" in row])
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.1)


def test_samples_are_drawn_on_the_gpu_too(model, forget):
    run, _ = run_locally(tuning(model), RunConfig(seed=5), device="cuda")
    images = run.problem.samples(run.state, 4, 9, "cuda")
    assert images.shape == (4, 1, 8, 8)
