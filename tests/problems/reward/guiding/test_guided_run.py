"""Runs on guided paths, of a stock pipeline whose samples' law is known.

Under p_x the first pixel is N(m, V) with m = V / lambda, V as `variance` says; r1 = u - 0.2 u^2 is
best at m = 2.5, where the KL is 2.5^2 / (2 V) = 6 nats: no pool of p0 says anything there.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from guided_toys import (
    STEPS,
    V,
    assert_six_nats_from_p0,
    assert_two_weights_inside,
    black_box,
    gaussian_tuning,
    two_weights,
)

from raybilevel import RunConfig
from raybilevel.errors import InputError
from raybilevel.problems.base import Status
from raybilevel.problems.reward.shards import DrawRewards
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.gaussian_pipeline import pixel
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts


def broken(images):
    """Its gradient is infinite where the pixel is black, and nowhere else."""
    u = pixel(images)
    return u + torch.where(u > -1e9, 0.0, u) + (u * 0).abs().sqrt()


def tuning(**changes):
    return gaussian_tuning(**{"estimator": "guided"} | changes)


@pytest.fixture(scope="module")
def guided():
    return run_locally(tuning(), RunConfig(seed=1))


def test_an_optimum_six_nats_from_p0_is_inside_its_interval(guided):
    (run, rows), last = guided, guided[1][-1]
    assert_six_nats_from_p0(run, rows, width=0.1, rel=0.05)
    assert last["ess"] > 400
    pool, pilot, shown = len(run.state["pool/seed"]), 256, 64
    assert last["nfe_total"] == (pool + pilot + shown) * STEPS * 3


def test_strata_go_from_p0_to_the_optimum(guided):
    state = guided[0].state
    scales = state["guided_scales"].ravel()
    assert scales[0] == 0
    assert scales[-1] > 2.5 / V  # s = 1 / lambda
    assert len(np.unique(state["pool/stratum"])) == len(scales)
    assert state["guided_taus"].shape == (STEPS,)
    assert state["guided_taus"].max() > 0.5


def test_samples_of_p_x_are_drawn_as_their_paths_were(guided):
    state, problem = guided[0].state, tuning()
    before, after = (pixel(torch.tensor(state[f"samples_{n}"])) for n in ("before", "after"))
    assert abs(float(before.mean())) < 1
    assert float(after.mean()) == pytest.approx(2.5, abs=0.7)
    drawn = pixel(problem.samples(state, 300, 0, "cpu")).numpy()
    known = state["pool/lower.lower"]
    assert np.abs(drawn[:, None] - known).min(1).max() < 1e-4
    assert drawn.mean() == pytest.approx(2.5, abs=0.3)


def test_a_pool_of_p0_has_the_same_law_and_says_nothing_there():
    run, _ = run_locally(tuning(estimator="pool", max_pool_size=1024), RunConfig(seed=1))
    assert run.stop.status is Status.STOPPED
    assert "pool/stratum" not in run.state
    assert np.var(run.state["pool/lower.lower"]) == pytest.approx(V, rel=0.15)


def test_two_weights_are_guided_by_a_gradient_each():
    problem = two_weights(estimator="guided", max_pool_size=8192)
    run, rows = run_locally(problem, RunConfig(seed=0))
    assert_two_weights_inside(run, rows)
    assert rows[-1]["nfe_total"] % (10 * 5) == 0


def test_a_kl_is_reached_by_guided_paths():
    problem = tuning(upper_reward=None, target={"kl": 4.0})
    run, rows = run_locally(problem, RunConfig(seed=0))
    assert run.stop.status is Status.CONVERGED
    lambda_ = np.sqrt(V / 8)  # KL = V / (2 lambda^2)
    assert rows[-1]["interval_low/lambda"] < lambda_ < rows[-1]["interval_high/lambda"]


def test_a_finite_gamma_has_its_own_optimum_on_the_same_paths(guided):
    state = guided[0].state
    exact, penalised = (
        tuning(gamma=g).objective(state).estimate(state["x"]) for g in (np.inf, 50.0)
    )
    assert penalised.value < exact.value
    assert penalised.value == pytest.approx(exact.value, abs=0.1)


def test_a_gradient_that_is_not_finite_ends_the_run():
    run, _ = run_locally(tuning(lower_reward=broken), RunConfig(seed=0))
    assert run.stop.status is Status.STOPPED
    assert "gradient of reward 'lower.lower' is not finite for 512 samples" in run.stop.reason
    assert "alphas_cumprod" in run.stop.reason


def test_a_reward_without_a_gradient_is_refused():
    with pytest.raises(InputError, match=r"'lower.lower' has no gradient .* annealed works"):
        tuning(lower_reward=black_box).worker("cpu")


def test_a_deterministic_sampler_is_refused():
    with pytest.raises(InputError, match=r"draws no noise at its steps; give call_options"):
        tuning(call_options={}).worker("cpu")


def test_what_is_no_pipeline_is_refused():
    def images(seeds):
        return torch.zeros(len(seeds), 1, 2, 2)

    problem = tuning(model=images, sampling_steps=None, call_options={})
    with pytest.raises(InputError, match="the model is no pipeline"):
        problem.check()


def test_a_prompt_alone_keeps_its_weights(guided):
    """As it is asked for where groups, or single prompts, are told apart."""
    state = guided[0].state
    one = tuning().objective(state)
    n = one.pool.n
    twice = {
        "upper": np.tile(one.pool.upper, 2), "lower": np.tile(one.pool.lower, (2, 1)),
        "log_base": np.tile(one.pool.log_base, 2),
    }  # fmt: skip
    prompts = Prompts(np.repeat([0, 1], n), np.array([0.5, 0.5]))
    both = replace(one, pool=Pool(**twice), prompts=prompts)
    alone, x = both.of_prompts(np.array([1]), state["x"])
    told, known = alone.objective.estimate(x), one.estimate(state["x"])
    assert told.value == pytest.approx(known.value, rel=1e-12)
    assert told.value_se == pytest.approx(known.value_se, rel=1e-9)


def test_evaluations_are_of_p0s_pool(guided):
    evaluation = tuning().evaluation([guided[0].state], 256)
    state = evaluation.init(3)
    (first, *_) = next(evaluation.run_round(0, state)).shards
    assert isinstance(first, DrawRewards)
    assert "pool/u.0" not in state
