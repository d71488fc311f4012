"""The penalty term on a quadratic problem whose hypergradient is known.

    g(q, y) = (y - A q)^T H (y - A q) / 2 + noise . y,   f(q, y) = |y - c|^2 / 2 + |q|^2 / 2
    dF/dq = q + A^T (A q - c),   dg/dq = -A^T H (y - A q)

The noise is drawn anew each step, the same for z and y: what training is like.
"""

import numpy as np
import torch

from raybilevel.lower.training.optimizer_config import OptimizerConfig
from raybilevel.lower.training.parameter_vector import ParameterVector
from raybilevel.lower.training.penalty_pair import train_pair
from raybilevel.lower.training.trainer import Learner, Trainer

A = np.array([[1.0, 0.5], [-0.3, 1.2], [0.8, -0.6]])
H = np.diag([0.5, 1.0, 2.0])
C = np.array([1.0, -1.0, 0.5])
Q = np.array([0.6, -0.4])
TRUTH = Q + A.T @ (A @ Q - C)
NOISE = 0.3


class Vector(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.y = torch.nn.Parameter(torch.zeros(3))


def penalty_gradient(gamma, steps, start=None, other_draws=False, seed=0):
    """The hypergradient's estimate (2,) and its partial part, df/dq alone."""
    network = Vector()
    flat = ParameterVector(network)
    a, h, c, q = (torch.tensor(m, dtype=torch.float32) for m in (A, H, C, Q))
    draws = NOISE * torch.randn(steps, 3, generator=torch.Generator().manual_seed(seed))

    def lower(draw):
        def add():
            e = network.y - a @ q
            loss = e @ h @ e / 2 + draw @ network.y
            loss.backward()
            return loss.detach()

        return add

    def upper():
        loss = (network.y - c).square().sum() / 2 / gamma
        loss.backward()
        return loss.detach()

    def slopes():
        return (-a.T @ h @ (network.y - a @ q)).detach().double().numpy()[None]

    config = OptimizerConfig(steps, learning_rate=0.05, warmup=1, weight_decay=0.0, clip=1e9)
    learner = Learner.begin(np.float32(A @ Q if start is None else start))
    trainer = Trainer(flat, config)
    m = train_pair(trainer, learner, 0, list(draws), lower=lower, upper=upper, slopes=slopes)
    if other_draws:  # y as it would be, had it come another way
        m2 = train_pair(trainer, learner, 0, list(-draws), lower=lower, upper=upper, slopes=slopes)
        return Q + gamma * (m.slope_z - m2.slope_y)[0], Q
    return Q + gamma * (m.slope_z - m.slope_y)[0], Q


def error(*args, **kwargs):
    """Of the mean over eight noises, as a share of the truth."""
    found = [penalty_gradient(*args, **kwargs, seed=seed)[0] for seed in range(8)]
    return np.linalg.norm(np.mean(found, axis=0) - TRUTH) / np.linalg.norm(TRUTH)


def test_it_converges_to_the_truth_as_gamma_and_inner_steps_grow():
    by_steps = [error(300.0, steps) for steps in (5, 40, 300)]
    assert by_steps[0] > 1.5 * by_steps[1] > 3 * by_steps[2]
    by_gamma = [error(1.0, 300), error(8.0, 300), by_steps[2]]
    assert by_gamma[0] > 1.5 * by_gamma[1] > 3 * by_gamma[2]
    assert by_gamma[2] < 0.1


def test_without_the_term_it_does_not():
    _, partial = penalty_gradient(300.0, 5)
    assert np.linalg.norm(partial - TRUTH) > 0.8 * np.linalg.norm(TRUTH)


def test_it_hardly_minds_where_both_start():
    assert error(300.0, 300, start=A @ Q + 0.05) < 0.1


def test_a_y_that_saw_other_draws_is_noise_times_gamma():
    assert error(300.0, 300, other_draws=True) > 20 * error(300.0, 300)
