"""What the oracles of guided paths claim, against samples that their pipeline draws."""

import numpy as np
import pytest
import torch

from raybilevel import RewardTuning
from raybilevel.testing.guided_oracles import bowl_pixels, linear_pixels

N = 4000


@pytest.mark.parametrize("make", [linear_pixels, bowl_pixels], ids=lambda make: make.__name__)
def test_what_is_known_is_what_samples_of_p0_say(make):
    oracle = make(3)
    priced, lambda_ = oracle.at(0.01), oracle.lambda_at(0.7)
    problem = RewardTuning(
        model=oracle.model, lower_reward=priced.lower_reward, upper_reward=priced.upper_reward,
        **oracle.drawing,
    )  # fmt: skip
    images = problem.source.sampler("cpu").draw(range(N), None).samples
    lower, upper = priced.lower_reward(images).double().numpy(), priced.upper_reward(images)
    assert abs(lower.mean() - np.exp(oracle.nodes[0].log_mass) @ oracle.nodes[0].lower) < 0.08
    assert lower.std() == pytest.approx(np.sqrt(oracle.nodes[0].covariances(0.0)[1]), rel=0.05)
    w = np.exp(lower / lambda_)
    w, known = w / w.sum(), priced.answers(lambda_)
    error = np.sqrt(np.sum((w * (upper - w @ upper)) ** 2))
    assert abs(-(w @ upper) - known.value) < 4 * error


def test_the_lower_reward_has_a_gradient_and_the_noisy_one_none():
    priced = linear_pixels(2).at(0.01)
    images = torch.rand(3, 1, 2, 2, requires_grad=True)
    assert priced.lower_reward(images).requires_grad
    assert isinstance(priced.upper_reward(images), np.ndarray)
