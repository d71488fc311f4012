"""Other ways to draw by a reward, on a stock pipeline whose samples' law is known.

Under p_x the first pixel is N(V / lambda, V), V as `variance` says.
"""

import math

import numpy as np
import pytest
import torch
from guided_toys import gaussian_tuning, other
from scipy import integrate
from scipy.stats import norm

from raybilevel import RunConfig, Variable
from raybilevel.errors import InputError
from raybilevel.problems.reward.rivals.evaluation import RivalEvaluation, of_p_x
from raybilevel.problems.reward.rivals.methods import RIVALS, Drawing
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.gaussian_pipeline import pixel, variance

STEPS, LAMBDA, IMAGES, EACH = 10, 0.5, 256, 16
V = variance(STEPS)


def tuning(**changes):
    given = {
        "held_out_reward": other, "lambda_": Variable("lambda", LAMBDA, 0.4, 20.0, "log"),
        "sampling_steps": STEPS, "pool_size": 2048, "max_pool_size": 2048, "estimator": "pool",
    }  # fmt: skip
    return gaussian_tuning(**given | changes)


def evaluated(rivals, problem=None, each=EACH):
    problem = problem or tuning()
    x = np.array([v.init for v in problem.variables])
    evaluation = RivalEvaluation(problem, {"x": x}, rivals, IMAGES, IMAGES * each * STEPS)
    return run_locally(evaluation, RunConfig(seed=1))


@pytest.fixture(scope="module")
def ways():
    return evaluated(["best_of_n", "guidance", "fk_steering"])


def test_each_spends_what_it_may_and_says_what_its_images_are_worth(ways):
    run, rows = ways
    state = run.state
    assert state["rival_each"].tolist() == [EACH, 1, EACH]
    assert state["rival_nfe"].tolist() == [IMAGES * STEPS * n for n in (EACH, 3, EACH)]
    assert state["rival_means"].shape == state["rival_errors"].shape == (3, 3)
    assert [row["upper_loss"] for row in rows] == (-state["rival_means"][:, 0]).tolist()
    held_out, error = state["rival_means"][:, 2], state["rival_errors"][:, 2]
    assert np.all(np.abs(held_out) < 4 * error)
    np.testing.assert_allclose(error, np.sqrt(V / IMAGES), rtol=0.15)


def test_the_best_of_n_is_the_largest_of_n_normal_numbers(ways):
    largest = integrate.quad(lambda z: z * EACH * norm.pdf(z) * norm.cdf(z) ** (EACH - 1), -8, 8)[0]
    mean, error = (ways[0].state[f"rival_{part}"][0, 1] for part in ("means", "errors"))
    assert abs(mean - math.sqrt(V) * largest) < 4 * error
    assert ways[0].state["rival_kl"][0] == pytest.approx(math.log(EACH) - (EACH - 1) / EACH)


def test_guidance_falls_short_of_p_x_and_says_the_kl_of_its_paths(ways):
    mean, error = (ways[0].state[f"rival_{part}"][1, 1] for part in ("means", "errors"))
    assert 4 * error < mean < V / LAMBDA - 4 * error
    kl = ways[0].state["rival_kl"][1]
    assert mean**2 / (2 * V) - 4 * mean * error / V < kl < V / (2 * LAMBDA**2)


def test_steered_images_are_nearly_those_of_p_x_and_their_kl_is_unknown(ways):
    mean, error = (ways[0].state[f"rival_{part}"][2, 1] for part in ("means", "errors"))
    assert abs(mean - V / LAMBDA) < 4 * error + 0.05 * V / LAMBDA  # of 16 particles
    assert np.isnan(ways[0].state["rival_kl"][2])


def test_p_x_is_told_by_the_samples_of_the_run():
    problem = tuning(upper_reward=pixel)
    run, _ = run_locally(problem, RunConfig(seed=1))
    means, errors, kl = of_p_x(problem, {**run.state, "x": np.array([2.0])})
    known = np.array([V / 2, V / 2, 0.0])
    assert np.all(np.abs(means - known) < 4 * errors)
    assert kl == pytest.approx(V / 8, rel=0.2)
    nothing, _, kl = of_p_x(problem, {**run.state, "x": np.array([0.05])})
    assert np.isnan([*nothing, kl]).all()


def test_where_nothing_is_guided_any_model_has_a_best_of_n():
    def images(seeds):
        generator = np.random.default_rng(list(seeds))
        return torch.tensor(generator.normal(size=(len(seeds), 1, 2, 2)))

    problem = tuning(model=images, sampling_steps=None, call_options={})
    images.nfe_per_sample = 1
    run, _ = evaluated(["best_of_n"], problem, each=4)
    assert run.state["rival_each"].tolist() == [4 * STEPS]
    with pytest.raises(InputError, match="the model is no pipeline, whose steps could be guided"):
        evaluated(["fk_steering"], problem)


def test_the_kl_of_guided_paths_counts_prompts_by_their_shares():
    seeds, shares = np.arange(8), np.array([0.25, 0.75])
    drawing = Drawing(seeds, np.repeat([3, 5], 4), np.full((8, 1), 2.0), 1, shares, 64)
    rows = {"pool/u.0": np.zeros(8), "pool/v.0.0": np.repeat([1.0, 3.0], 4)}
    assert RIVALS["guidance"].kl(rows, drawing) == pytest.approx(0.25 * 2 + 0.75 * 6)


def test_ways_that_guide_are_refused_where_runs_draw_otherwise():
    problem = tuning(model="digits", lower_reward="ink", upper_reward="ink", held_out_reward=None)
    with pytest.raises(InputError, match="draws no noise at its steps"):
        RivalEvaluation(problem.but(call_options={}), {"x": np.ones(1)}, ["guidance"], 8, 0)
