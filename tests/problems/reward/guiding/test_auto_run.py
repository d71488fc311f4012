"""Runs that choose for themselves, where a pool of p0 says too little: to guide, or to move.

As in `test_guided_run`: r1 = u - 0.2 u^2 is best where the pixel's mean is 2.5.
"""

import numpy as np
import pytest
import torch

from raybilevel import RewardTuning, RunConfig, Variable
from raybilevel.problems.base import Status
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.gaussian_pipeline import gaussian_pipeline, pixel, variance

STEPS = 20
BEST = variance(STEPS) / 2.5


def priced(images):
    return pixel(images) - 0.2 * pixel(images) ** 2


def black_box(images):
    return pixel(images).numpy()


def misleading(images):
    """Its gradient leads away from where it is high."""
    return 2 * pixel(images).detach() - pixel(images)


def tuning(**changes):
    given = {
        "model": gaussian_pipeline, "lower_reward": pixel, "upper_reward": priced,
        "lambda_": Variable("lambda", 2.0, 0.05, 20.0, "log"), "sampling_steps": STEPS,
        "call_options": {"eta": 1.0}, "pool_size": 1024, "max_pool_size": 4096,
    }  # fmt: skip
    return RewardTuning(**given | changes)


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
    run, rows = run_locally(tuning(lower_reward=reward), RunConfig(seed=1, max_nfe=110_000))
    assert "guided_scales" not in run.state
    assert rows[-1]["rung"] >= 1
    annealed, guided = worths(rows[-1])
    assert np.isnan([annealed, guided]).all() if reward is black_box else annealed > guided


def test_where_paths_lead_to_no_end_samples_of_p0_are_moved():
    problem = tuning(upper_reward=pixel, max_pool_size=1024)
    run, rows = run_locally(problem, RunConfig(seed=1, max_nfe=130_000))
    state = run.state
    assert np.sum(state["pool/stratum"] >= 0) == 1024
    assert rows[-1]["rung"] >= 1
    moved = state["pool/rung"] > 0
    assert (state["pool/stratum"][moved] == -1).all()
    first = state["pool/parent"][np.flatnonzero(state["pool/parent"] >= 0)[0]]
    assert state["pool/rung"][first] == 0
    assert not np.isnan(rows[-1]["upper_loss"])


def test_nobody_tries_to_guide_what_is_known_not_to_be():
    assert not tuning(call_options={}, model="digits", lower_reward="ink").may_guide
    assert not tuning(estimator="annealed").may_guide
    assert tuning().may_guide
