"""Local steps: those of torch's own AdamW, wherever they are cut."""

import numpy as np
import pytest
import torch

from raybilevel.lower.training.optimizer_config import OptimizerConfig
from raybilevel.lower.training.parameter_vector import ParameterVector
from raybilevel.lower.training.trainer import Learner, Trainer

CONFIG = OptimizerConfig(steps=20, learning_rate=0.05, warmup=5)


def problem():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    x = torch.randn(20, 16, 3)
    return network, x, x.sum(-1, keepdim=True).sin()


def adds(network, x, y, steps):
    def add(i):
        loss = (network(x[i]) - y[i]).square().mean()
        loss.backward()
        return loss.detach()

    return [lambda i=i: add(i) for i in steps]


def test_they_are_those_of_stock_adamw():
    network, x, y = problem()
    trainer = Trainer(flat := ParameterVector(network), CONFIG)
    learner, losses = trainer.run(Learner.begin(flat.numpy()), 0, adds(network, x, y, range(20)))
    network, _, _ = problem()
    stock = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99), weight_decay=0.01)
    expected = []
    for i in range(20):
        stock.zero_grad()
        loss = (network(x[i]) - y[i]).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        stock.param_groups[0]["lr"] = CONFIG.rate(i)
        stock.step()
        expected.append(loss.item())
    assert losses == pytest.approx(expected, rel=1e-4)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    weights = torch.nn.utils.parameters_to_vector(network.parameters()).detach().numpy()
    assert np.allclose(learner.weights, weights, atol=1e-5)


def test_cut_in_two_they_have_the_same_bits():
    network, x, y = problem()
    trainer = Trainer(flat := ParameterVector(network), CONFIG)
    start = Learner.begin(flat.numpy())
    whole, _ = trainer.run(start, 0, adds(network, x, y, range(20)))
    half, _ = trainer.run(start, 0, adds(network, x, y, range(8)))
    rest, _ = trainer.run(half, 8, adds(network, x, y, range(8, 20)))
    for name in ("weights", "mean", "square"):
        assert np.array_equal(getattr(whole, name), getattr(rest, name))


def test_the_rate_rises_and_falls_to_nothing():
    rates = np.array([CONFIG.rate(i) for i in range(20)])
    assert rates[0] == pytest.approx(0.01)
    assert rates.argmax() == 4
    assert np.all(np.diff(rates[4:]) < 0)
    assert rates[-1] < 0.01 * 0.05 * 2


def test_large_gradients_are_cut():
    network = torch.nn.Linear(1, 1, bias=False)
    trainer = Trainer(flat := ParameterVector(network), OptimizerConfig(10, clip=0.5))

    def steep():
        loss = (1e6 * network.weight).sum()
        loss.backward()
        return loss.detach()

    learner, _ = trainer.run(Learner.begin(flat.numpy()), 0, [steep])
    assert learner.mean == pytest.approx([0.05])  # a tenth of the cut gradient
