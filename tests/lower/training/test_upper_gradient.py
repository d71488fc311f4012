"""The gradient of FID in a network's weights."""

import numpy as np
import pytest
import torch
from schedule_toys import Pixels, tiny_unet

from raybilevel.data import load
from raybilevel.lower.sampling.level_sampler import LevelSampler
from raybilevel.lower.training.parameter_vector import ParameterVector
from raybilevel.lower.training.unet import network_config, new_info
from raybilevel.lower.training.upper_gradient import Linearised, UpperGradient
from raybilevel.metrics.fid_kid import FrechetTo, Moments

LEVELS = [-2.0, 0.5, 3.0]
CPU = torch.device("cpu")


class Few(torch.nn.Module):
    """Means of quarters: so few features that a few samples tell all about them."""

    def forward(self, images):
        return torch.nn.functional.avg_pool2d(images, 4).flatten(1)


@pytest.fixture
def parts():
    unet = tiny_unet()
    sampler = LevelSampler(
        new_info(network_config((1, 8, 8)), "noise_level", "epsilon", 1.0, {}), unet
    )
    noise = sampler.noise(3, 32)
    to = FrechetTo(Moments.of(Few()(load("digits").images).numpy()))
    return sampler, ParameterVector(unet), noise, to


def moments(sampler, noise):
    return Moments.of(Few()(sampler.sample(noise, LEVELS)).numpy())


def linearised(sampler, noise, to):
    return Linearised(*to.slopes(moments(sampler, noise)), CPU)


def test_through_all_steps_it_is_that_of_finite_differences(parts):
    sampler, flat, noise, to = parts
    f = linearised(sampler, noise, to)
    UpperGradient(sampler, flat, Few(), grad_steps=3).truncated(f, noise, LEVELS, 0.5)
    gradient, weights = flat.grad.numpy().copy(), flat.numpy()
    way = gradient / np.linalg.norm(gradient)
    h, values = 3e-4, []  # the sampler's clamp has kinks
    for sign in (1, -1):
        flat.load(weights + np.float32(sign * h) * way)
        values.append(to(moments(sampler, noise)))
    assert way @ gradient == pytest.approx(0.5 * (values[0] - values[1]) / (2 * h), rel=0.01)


def test_through_fewer_steps_it_points_roughly_the_same_way(parts):
    sampler, flat, noise, to = parts
    f, found = linearised(sampler, noise, to), []
    for grad_steps in (3, 1):
        flat.grad.zero_()
        UpperGradient(sampler, flat, Few(), grad_steps).truncated(f, noise, LEVELS, 1.0)
        found.append(flat.grad.clone())
    cosine = torch.nn.functional.cosine_similarity(*found, dim=0)
    assert 0.1 < cosine < 0.999


def test_pairs_in_weight_space_have_its_slope_and_leave_the_weights_alone(parts):
    sampler, flat, noise, to = parts
    f = linearised(sampler, noise, to)
    term = UpperGradient(sampler, flat, Few(), grad_steps=3)
    term.truncated(f, noise, LEVELS, 1.0)
    gradient, weights = flat.grad.clone(), flat.numpy()
    way = torch.randn(len(gradient), generator=torch.Generator().manual_seed(1))
    way += gradient / gradient.norm() * 3  # so that there is a slope to be seen
    flat.grad.zero_()
    term.two_point(f, noise, LEVELS, 1.0, way)
    assert np.array_equal(flat.numpy(), weights)
    slope = (flat.grad @ way) / (way @ way)
    assert slope.item() == pytest.approx((gradient @ way).item(), rel=0.1)


def test_pairs_in_weight_space_are_the_gradient_on_average():
    """On a function whose gradient is known: 200 ways of a network of 3 weights."""
    network = torch.nn.Linear(3, 1, bias=False)
    flat = ParameterVector(network)
    wanted = torch.tensor([0.5, -2.0, 1.0])

    class Toy:
        device = CPU

        def solve(self, noise, levels, grad_steps):
            return network.weight * wanted

    term = UpperGradient(Toy(), flat, lambda images: images, 1)
    f = Linearised(np.ones(3), np.zeros((3, 3)), CPU)
    generator = torch.Generator().manual_seed(0)
    ways = torch.randn(4000, 3, generator=generator)
    for way in ways:
        term.two_point(f, torch.zeros(1), [0.0], 1.0, way)
    found = flat.grad / len(ways)
    error = wanted.norm() * np.sqrt(2 / len(ways))
    assert torch.all((found - wanted).abs() < 4 * error)


def test_fid_to_first_order_is_fid_nearby(parts):
    *_, to = parts
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4))
    step = 1e-4 * rng.normal(size=x.shape)
    mean, outer = to.slopes(Moments.of(x))
    change = to(Moments.of(x + step)) - to(Moments.of(x - step))
    by_mean = mean @ (2 * step).mean(axis=0)
    moved = ((x + step).T @ (x + step) - (x - step).T @ (x - step)) / len(x)
    assert by_mean + np.sum(outer * moved) == pytest.approx(change, rel=1e-4)


def test_the_extractor_may_be_any_module(parts):
    sampler, flat, noise, _ = parts
    f = Linearised(np.ones(64), np.zeros((64, 64)), CPU)
    value = UpperGradient(sampler, flat, Pixels(), 1).truncated(f, noise, LEVELS, 1.0)
    assert value.item() == pytest.approx(
        sampler.sample(noise, LEVELS).sum((1, 2, 3)).mean().item(), rel=1e-5
    )


@pytest.mark.parametrize(
    ("grad_steps", "by_pairs", "nfe"), [(1, False, 5), (9, False, 9), (1, True, 6)]
)
def test_what_a_gradient_costs(parts, grad_steps, by_pairs, nfe):
    sampler, flat, *_ = parts
    assert UpperGradient(sampler, flat, Pixels(), grad_steps).nfe(3, by_pairs) == nfe
