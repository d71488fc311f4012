"""Runs that choose for themselves, where a pool of p0 says too little: to guide, or to move.

As in `test_guided_run`: r1 = u - 0.2 u^2 is best where the pixel's mean is 2.5.
"""

import numpy as np
import pytest
import torch
from guided_toys import black_box, gaussian_tuning

from raybilevel import RunConfig
from raybilevel.problems.base import Status
from raybilevel.problems.reward.guiding.pilots import Pilot
from raybilevel.problems.reward.pool_plan import PoolPlan
from raybilevel.problems.reward.shards import GuidePaths, TryGuiding
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.gaussian_pipeline import pixel, variance

STEPS = 20
BEST = variance(STEPS) / 2.5


def misleading(images):
    """Its gradient leads away from where it is high."""
    return 2 * pixel(images).detach() - pixel(images)


def tuning(**changes):
    return gaussian_tuning(**{"max_pool_size": 4096} | changes)


def worths(row):
    return row.get("effective_per_nfe/annealed"), row.get("effective_per_nfe/guided")


@pytest.fixture(scope="module")
def chosen():
    return run_locally(tuning(), RunConfig(seed=1))


def test_paths_are_guided_where_that_is_worth_more(chosen):
    run, rows = chosen
    last = rows[-1]
    assert run.stop.status is Status.CONVERGED
    assert last["interval_low/lambda"] < BEST < last["interval_high/lambda"]
    assert worths(rows[0]) == (None, None)
    annealed, guided = worths(last)
    assert guided > annealed > 0
    counted = run.state["pool/stratum"] >= 0
    assert last["pool_size"] == counted.sum() < len(counted)
    assert np.isnan(run.state["pool/u.0"][~counted]).all()


def test_samples_are_of_the_paths_that_count(chosen):
    state = chosen[0].state
    assert float(pixel(torch.tensor(state["samples_after"])).mean()) == pytest.approx(2.5, abs=0.7)
    drawn = pixel(tuning().samples(state, 200, 0, "cpu")).numpy()
    known = state["pool/lower.lower"][state["pool/stratum"] >= 0]
    assert np.abs(drawn[:, None] - known).min(1).max() < 1e-4
    assert drawn.mean() == pytest.approx(2.5, abs=0.4)


@pytest.mark.parametrize("reward", [black_box, misleading])
def test_they_are_moved_where_no_gradient_helps(reward):
    problem = tuning(lower_reward=reward, max_pool_size=1024)
    run, rows = run_locally(problem, RunConfig(seed=1, max_nfe=50_000))
    assert "guided_scales" not in run.state
    assert rows[-1]["rung"] >= 1
    annealed, guided = worths(rows[-1])
    assert np.isnan([annealed, guided]).all() if reward is black_box else annealed > guided


def test_where_paths_lead_to_no_end_samples_of_p0_are_moved():
    problem = tuning(upper_reward=pixel, max_pool_size=1024)
    run, rows = run_locally(problem, RunConfig(seed=1, max_nfe=125_000))
    state = run.state
    assert np.sum(state["pool/stratum"] >= 0) == 1024
    assert rows[-1]["rung"] >= 1
    moved = state["pool/rung"] > 0
    assert (state["pool/stratum"][moved] == -1).all()
    first = state["pool/parent"][np.flatnonzero(state["pool/parent"] >= 0)[0]]
    assert state["pool/rung"][first] == 0
    assert not np.isnan(rows[-1]["upper_loss"])


def test_an_x_that_p0_knows_stands_until_paths_say_more(chosen):
    rows = chosen[1]
    first = next(i for i, row in enumerate(rows) if worths(row) != (None, None))
    assert np.isnan(rows[first]["upper_loss"])
    assert rows[first]["config/lambda"] == rows[first - 1]["config/lambda"]


class Detached(torch.nn.Module):
    """Its scores have a gradient, but not with respect to the images."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, images):
        return pixel(images.detach()) * self.weight


def in_place(images):
    root = pixel(images).exp().sqrt()
    squared = root**2
    root += 1
    return squared


@pytest.mark.parametrize("reward", [Detached(), in_place, black_box])
def test_what_has_no_gradient_to_the_images_cannot_be_guided(reward):
    worker = tuning(lower_reward=reward).worker("cpu")
    trial = TryGuiding(GuidePaths((0, 1), ((1.0,), (1.0,))))
    tried = worker.run(trial, {}, 0)
    assert int(tried.sums["guidable"]) == int(tried.sums["too_large"]) == 0


def test_an_auto_run_whose_trial_did_not_fit_into_memory_is_marked_inexact(chosen):
    problem, state = tuning(), chosen[0].state
    assert problem.exact_in(state)
    assert not problem.exact_in({**state, "choice_by_memory": np.array(1)})


def test_pilots_are_of_a_few_prompts_with_enough_paths_each():
    plan = PoolPlan.of(400, 400, 100, 64, 100)
    state = {"seed_base": np.array(7), "pool/prompt": np.arange(100)}
    shares = np.arange(1.0, 101) / 5050
    pilot = Pilot.begin(state, plan, shares, 0, 256)
    assert pilot.chosen.tolist() == [0, 14, 28, 42, 57, 71, 85, 99]
    assert pilot.of.counts.tolist() == [32] * 8
    np.testing.assert_allclose(pilot.of.shares, shares[pilot.chosen] / shares[pilot.chosen].sum())
    assert pilot.places.tolist() == np.repeat(pilot.chosen, 32).tolist()
    assert [len(s.seeds) for s in pilot.shards(np.ones((256, 1)), None)] == [64] * 4


def test_nobody_tries_to_guide_what_is_known_not_to_be():
    assert not tuning(call_options={}, model="digits", lower_reward="ink").may_guide
    assert not tuning(estimator="annealed").may_guide
    assert tuning().may_guide
