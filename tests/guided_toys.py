"""What runs on guided paths are tried on: a stock pipeline of Gaussian pixels, and its rewards."""

from raybilevel import RewardTuning, Variable
from raybilevel.testing.gaussian_pipeline import gaussian_pipeline, pixel


def other(images):
    return pixel(images, 1)


def priced(images):
    return pixel(images) - 0.2 * pixel(images) ** 2


def black_box(images):
    return pixel(images).numpy()


def gaussian_tuning(**changes):
    given = {
        "model": gaussian_pipeline, "lower_reward": pixel, "upper_reward": priced,
        "lambda_": Variable("lambda", 2.0, 0.05, 20.0, "log"), "sampling_steps": 20,
        "call_options": {"eta": 1.0}, "pool_size": 1024,
    }  # fmt: skip
    return RewardTuning(**given | changes)
