"""The lower objective: what it is, and its derivatives."""

import numpy as np
import pytest
import torch
from schedule_toys import tiny_unet

from raybilevel.data import load
from raybilevel.lower.training.loss import Draw, denoising_loss, draw
from raybilevel.lower.training.unet import network_config, new_info
from raybilevel.schedules import cosine, knots, sigmoid

CPU = torch.device("cpu")


def info(prediction="epsilon", conditioning="noise_level"):
    return new_info(network_config((1, 8, 8)), conditioning, prediction, 1.0, {})


def some(count=8, seed=0):
    return draw(load("digits").images, count, torch.Generator().manual_seed(seed), CPU)


def test_times_are_a_shifted_grid_and_images_in_minus_one_to_one():
    at = some(64)
    assert torch.allclose(at.t.sort().values.diff(), torch.tensor(1 / 64, dtype=torch.float64))
    assert at.clean.min() == -1
    assert at.clean.max() <= 1
    assert abs(at.noise.std() - 1) < 0.05


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_who_knows_the_image_has_no_loss(prediction):
    at, schedule = some(), cosine()
    x = torch.from_numpy(schedule.init)
    logsnr = schedule.logsnr(x, at.t)[:, None, None, None]
    alpha, sigma = logsnr.sigmoid().sqrt(), (-logsnr).sigmoid().sqrt()

    def oracle(noisy, step, return_dict):
        eps = (noisy.double() - alpha * at.clean) / sigma
        v = alpha * eps - sigma * at.clean
        answer = {"epsilon": eps, "sample": at.clean, "v_prediction": v}[prediction]
        return (answer.float(),)

    assert denoising_loss(oracle, info(prediction), schedule, x, at) < 1e-5


@pytest.mark.parametrize("conditioning", ["noise_level", "step"])
@pytest.mark.parametrize(
    ("schedule", "h"),  # the time embedding turns by a radian a step, and the step is float32
    [(cosine(), 2e-5), (sigmoid(), 1e-3), (knots(3), 1e-3)],
    ids=["cosine", "sigmoid", "knots"],
)
@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_its_gradient_in_the_schedule_is_that_of_finite_differences(
    prediction, schedule, h, conditioning
):
    unet, at = tiny_unet().double(), some()
    at = Draw(at.clean.double(), at.noise.double(), 0.1 + 0.8 * at.t)  # steep at the ends
    inside = np.array([v.low + 0.4 * (v.high - v.low) for v in schedule.variables])
    x = 0.9 * schedule.init + 0.1 * inside

    def loss(x):
        return denoising_loss(unet, info(prediction, conditioning), schedule, x, at)

    (found,) = torch.autograd.grad(loss(t := torch.tensor(x, requires_grad=True)), t)
    with torch.no_grad():
        expected = [
            (loss(torch.tensor(x + h * e)) - loss(torch.tensor(x - h * e))).item() / (2 * h)
            for e in np.eye(len(x))
        ]
    assert found.numpy() == pytest.approx(np.array(expected), rel=0.03, abs=1e-4)


def test_conditioned_on_the_step_the_network_does_not_see_the_schedule_change():
    asked, at = [], some()

    def network(noisy, step, return_dict):
        asked.append(step)
        return (noisy,)

    for x in ([0.2, 1.0, 1.0], [0.0, 0.7, 3.0]):
        for conditioning in ("step", "noise_level"):
            denoising_loss(
                network, info(conditioning=conditioning), cosine(),
                torch.tensor(x, dtype=torch.float64), at,
            )  # fmt: skip
    assert torch.equal(asked[0], asked[2])
    assert not torch.equal(asked[1], asked[3])
