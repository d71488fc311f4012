"""What runs on guided paths are tried on: a stock pipeline of Gaussian pixels, and its rewards."""

import numpy as np
import pytest

from raybilevel import RewardTuning, Variable
from raybilevel.problems.base import Status
from raybilevel.testing.gaussian_pipeline import gaussian_pipeline, pixel, variance

STEPS = 20
V = variance(STEPS)
"""Of the first pixel: under p_x it is N(m, V) with m = V / lambda."""

BEST = {"one": 1.0, "two": 0.5}
"""Means of two pixels at which `two_weights` has its optimum."""


def other(images):
    return pixel(images, 1)


def priced(images):
    return pixel(images) - 0.2 * pixel(images) ** 2


def black_box(images):
    return pixel(images).numpy()


def gaussian_tuning(**changes):
    given = {
        "model": gaussian_pipeline, "lower_reward": pixel, "upper_reward": priced,
        "lambda_": Variable("lambda", 2.0, 0.05, 20.0, "log"), "sampling_steps": STEPS,
        "call_options": {"eta": 1.0}, "pool_size": 1024,
    }  # fmt: skip
    return RewardTuning(**given | changes)


def assert_six_nats_from_p0(run, rows, width, rel):
    """What `priced` is best at: m = 2.5, where the KL is 2.5^2 / (2 V) = 6 nats."""
    last = rows[-1]
    assert run.stop.status is Status.CONVERGED
    found = np.log(last["interval_high/lambda"] / last["interval_low/lambda"])
    assert found < width
    assert abs(np.log(last["config/lambda"] / (V / 2.5))) < found  # four standard errors
    assert last["kl"] == pytest.approx(2.5**2 / (2 * V), rel=rel)


def two_weights(**changes):
    given = {
        "lower_reward": {"one": pixel, "two": other}, "lambda_": 0.4, "sampling_steps": 10,
        "weights": {name: Variable(name, 0.1, 0.0, 8.0) for name in BEST},
        "upper_reward": lambda images: -((pixel(images) - 1) ** 2) - (other(images) - 0.5) ** 2,
    }  # fmt: skip
    return gaussian_tuning(**given | changes)


def assert_two_weights_inside(run, rows):
    assert run.stop.status is Status.CONVERGED
    for name, mean in BEST.items():
        low, high = (rows[-1][f"interval_{end}/{name}"] for end in ("low", "high"))
        assert low < mean * 0.4 / variance(10) < high
