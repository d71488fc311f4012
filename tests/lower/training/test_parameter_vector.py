"""One buffer for all weights: the network reads and learns through it."""

import numpy as np
import torch
from schedule_toys import tiny_unet

from raybilevel.lower.training.parameter_vector import ParameterVector


def test_the_network_answers_with_what_is_loaded():
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    flat = ParameterVector(network)
    weights = np.arange(11, dtype=np.float32)
    flat.load(weights)
    assert network[0].weight.flatten().tolist() == list(range(6))
    assert network[1].bias.item() == 10
    assert np.array_equal(flat.numpy(), weights)


def test_gradients_of_all_parameters_meet_in_one_buffer():
    unet = tiny_unet()
    plain = tiny_unet()
    flat = ParameterVector(unet)
    x, t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([3.5])
    for network in (unet, plain):
        network(x, t).sample.square().mean().backward()
    expected = torch.cat([p.grad.flatten() for p in plain.parameters()])
    torch.testing.assert_close(flat.grad, expected)
    unet(x, t).sample.square().mean().backward()
    torch.testing.assert_close(flat.grad, 2 * expected)  # added to, until it is set to zero


def test_what_is_loaded_is_copied():
    flat = ParameterVector(torch.nn.Linear(1, 1))
    weights = np.array([1, 2], dtype=np.float32)
    weights.flags.writeable = False  # as a broadcast is
    flat.load(weights)
    flat.parameter.data += 1
    assert weights.tolist() == [1, 2]
