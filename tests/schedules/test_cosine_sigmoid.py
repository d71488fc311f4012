"""The cosine and the sigmoid schedule: Chen's formula, and what is refused."""

import math

import numpy as np
import pytest
import torch

from raybilevel.errors import InputError
from raybilevel.schedules import cosine, sigmoid
from raybilevel.upper.variables import Variable


def chen(v, t):
    return (v(1.0) - v(t)) / (v(1.0) - v(0.0))


@pytest.mark.parametrize("t", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize(("start", "end", "tau"), [(0.0, 1.0, 1.0), (0.2, 0.9, 2.0)])
def test_cosine_is_chens_but_for_the_squash(start, end, tau, t):
    gamma = chen(lambda t: math.cos((t * (end - start) + start) * math.pi / 2) ** (2 * tau), t)
    schedule = cosine(eps=0.01)
    x = torch.tensor([start, end, tau], dtype=torch.float64)
    abar = schedule.alphas_cumprod(x, torch.tensor([t], dtype=torch.float64)).item()
    assert abar == pytest.approx(0.01 + 0.98 * gamma, abs=1e-8)


@pytest.mark.parametrize("t", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize(("start", "end", "tau"), [(-3.0, 3.0, 0.9), (0.0, 3.0, 0.3)])
def test_sigmoid_is_chens_but_for_the_squash(start, end, tau, t):
    gamma = chen(lambda t: 1 / (1 + math.exp(-(t * (end - start) + start) / tau)), t)
    schedule = sigmoid(Variable("start", start, start - 1, start + 1), end, tau)
    abar = schedule.alphas_cumprod(
        torch.from_numpy(schedule.init), torch.tensor([t], dtype=torch.float64)
    ).item()
    assert abar == pytest.approx(1e-4 + (1 - 2e-4) * gamma, abs=2e-8)


def test_numbers_are_fixed_and_variables_tuned_in_the_order_of_the_arguments():
    schedule = cosine(
        start=0.1, tau=Variable("t", 1.0, 0.5, 2.0), eps=Variable("e", 0.01, 1e-3, 0.05)
    )
    assert [v.name for v in schedule.variables] == ["end", "t", "e"]
    abar = schedule.alphas_cumprod(torch.tensor([1.0, 1.0, 0.02]), torch.ones(1))
    assert abar.item() == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: cosine(start=Variable("s", 0.2, 0.0, 0.6)), "start must stay"),
        (lambda: cosine(start=Variable("s", 0.2, -0.1, 0.5)), "cosine has start"),
        (lambda: cosine(end=Variable("e", 1.0, 0.6, 1.1)), "cosine has end"),
        (lambda: cosine(tau=Variable("t", 1.0, 0.1, 2.0)), "cosine has tau"),
        (lambda: cosine(eps=0.0), "cosine has eps"),
        (lambda: cosine(eps=0.1), "cosine has eps"),
        (lambda: cosine(eps=math.nan), "cosine has eps"),
        (lambda: cosine(0.2, 1.0, 1.0), "at least one"),
        (lambda: cosine(end=Variable("start", 1.0, 0.6, 1.0)), "none twice"),
        (lambda: sigmoid(end=-3.0), "start must stay"),
        (lambda: sigmoid(tau=0.1), "sigmoid has start"),
        (lambda: sigmoid(tau=0.0), "sigmoid has tau"),
        (lambda: sigmoid(tau=Variable("t", 1.0, 0.9, 2.0)), "fix tau"),
        (lambda: sigmoid(start=0.0, tau=Variable("t", 1.0, 0.9, 2.0)), "fix tau"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused_in_one_sentence(make, says):
    with pytest.raises(InputError, match=says):
        make()


@pytest.mark.parametrize("end", [1.0, 0.99])
def test_large_tau_leaves_no_flat_levels(end):
    schedule = cosine(end=end, tau=Variable("tau", 10.0, 0.5, 10.0))
    t = torch.arange(1, 4001, dtype=torch.float64) / 4000
    abar = schedule.alphas_cumprod(torch.tensor([0.0, 10.0]), t).numpy()
    assert np.all(np.diff(abar) < 0)
