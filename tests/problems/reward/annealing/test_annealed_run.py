"""Runs that go down a ladder: a function of noise, of which p_x is known in closed form.

Samples are their noise, r2 = u_0 of N(0, 1), so that under p_x u_0 is N(1 / lambda, 1), and
r1 = u_0 - 0.2 u_0^2 is best at 1 / lambda = 2.5: of 4,096 samples of p0 eight count there.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize_scalar

from raybilevel import RewardTuning, RunConfig, Variable
from raybilevel.errors import InputError
from raybilevel.lower.sampling.annealing import replayed
from raybilevel.lower.sampling.noise import normal_noise
from raybilevel.problems.base import Status
from raybilevel.problems.reward.drawing.lineages import ancestry, lineages_of
from raybilevel.runtime.rounds import run_locally

BEST = 0.4
MEANS = {"low": 0.0, "high": 1.0}


def images(noise):
    """Noise as it is, as images of one channel."""
    return noise


def prompted(noise, prompts):
    """The same, moved by its prompt."""
    return noise + torch.tensor([MEANS[p] for p in prompts]).reshape(-1, 1, 1, 1)


images.noise_shape = prompted.noise_shape = (1, 2, 2)


def value(images):
    return images.flatten(1)[:, 0]


def other(images):
    return images.flatten(1)[:, 1]


def priced(images):
    return value(images) - 0.2 * value(images) ** 2


def tuning(**changes):
    given = {
        "model": images, "lower_reward": value, "upper_reward": priced,
        "lambda_": Variable("lambda", 1.0, 0.05, 20.0, "log"), "estimator": "annealed",
    }  # fmt: skip
    return RewardTuning(**given | changes)


@pytest.fixture(scope="module")
def climbed():
    return run_locally(tuning(), RunConfig(seed=3))


def test_an_optimum_far_below_p0s_reach_is_inside_its_interval(climbed):
    run, rows = climbed
    assert run.stop.status is Status.CONVERGED
    last = rows[-1]
    assert last["interval_low/lambda"] < BEST < last["interval_high/lambda"]
    assert abs(last["upper_loss"] + 1.05) < 4 * last["upper_loss_se"]
    assert last["kl"] == pytest.approx(3.125, rel=0.2)
    assert last["rung"] >= 5
    assert not {"ess", "pareto_k"} & set(last)
    assert last["islands"] == 16
    assert 0 < last["log_z_sd"] < 1
    spread = np.std(run.state["pool/lower.lower"][run.state["pool/rung"] == 0])
    assert last["lambda_over_spread"] == pytest.approx(last["config/lambda"] / spread, rel=1e-12)
    assert "ess" in rows[0]  # of p0's pool while it is drawn


def test_each_row_is_what_its_lineage_draws(climbed):
    state = climbed[0].state
    rows = np.random.default_rng(0).choice(len(state["pool/seed"]), 200)

    z = replayed(lambda seeds: normal_noise(seeds, images.noise_shape), lineages_of(state, rows))
    np.testing.assert_array_equal(value(images(z)).numpy(), state["pool/lower.lower"][rows])
    rungs = [state["pool/rung"][ancestry(state, row)] for row in rows]
    assert all(path[0] == 0 for path in rungs)
    assert max(len(path) for path in rungs) > 100


def test_states_on_the_way_to_a_rung_count_for_nothing(climbed):
    state = climbed[0].state
    on_their_way = state["pool/rung"] < 0
    assert on_their_way.sum() > 1000
    columns = ("pool/upper", "pool/lower.lower")
    spoilt = {**state, **{c: np.where(on_their_way, np.nan, state[c]) for c in columns}}
    one, other = (tuning().objective(s).at(state["x"]).estimate for s in (state, spoilt))
    assert (other.value, other.value_se) == (one.value, one.value_se)
    assert tuning().objective(state).pool.n == np.sum(~on_their_way)


def test_particles_stay_in_their_islands(climbed):
    state = climbed[0].state
    moved = np.flatnonzero(state["pool/parent"] >= 0)
    parents = state["pool/parent"][moved]
    np.testing.assert_array_equal(state["pool/island"][moved], state["pool/island"][parents])
    counts = np.bincount(state["pool/island"][state["pool/rung"] >= 1])
    assert len(counts) == 16
    assert len(set(counts)) == 1


def test_samples_of_p_x_are_where_particles_have_moved(climbed):
    run, rows = climbed
    drawn = tuning().samples(run.state, 400, 0, "cpu")
    mean = 1 / rows[-1]["config/lambda"]
    assert float(value(drawn).mean()) == pytest.approx(mean, abs=0.3)
    before, after = (value(torch.tensor(run.state[f"samples_{n}"])) for n in ("before", "after"))
    assert after.mean() - before.mean() > 1.5


def test_a_pool_that_suffices_is_left_as_it_is():
    """The bound of lambda is where p0's samples can still be believed."""
    given = {"lambda_": Variable("lambda", 4.0, 2.0, 20.0, "log")}
    auto, pool = (
        run_locally(tuning(estimator=e, **given), RunConfig(seed=0)) for e in ("auto", "pool")
    )
    assert auto[0].stop == pool[0].stop
    assert auto[0].stop.status is Status.AT_BOUND
    for name, number in pool[1][-1].items():
        if "seconds" not in name and "time" not in name:
            np.testing.assert_equal(auto[1][-1][name], number, err_msg=name)


def test_where_a_pool_says_too_little_its_samples_are_moved():
    run, rows = run_locally(
        tuning(estimator="auto", pool_size=2048, max_pool_size=2048), RunConfig(seed=1)
    )
    assert run.stop.status is Status.CONVERGED
    assert rows[-1]["interval_low/lambda"] < BEST < rows[-1]["interval_high/lambda"]
    pool, _ = run_locally(
        tuning(estimator="pool", pool_size=2048, max_pool_size=2048), RunConfig(seed=1)
    )
    assert pool.stop.status is Status.STOPPED


def test_what_cannot_be_moved_stays_with_p0():
    def of_seeds(seeds):
        return torch.stack(
            [torch.randn(1, 2, 2, generator=torch.Generator().manual_seed(s)) for s in seeds]
        )

    run, rows = run_locally(
        tuning(model=of_seeds, estimator="auto", max_pool_size=4096), RunConfig(seed=1)
    )
    assert run.stop.status is Status.STOPPED
    assert "rung" not in rows[-1]
    with pytest.raises(InputError, match=r"estimator is 'annealed', but .* noise_shape"):
        tuning(model=of_seeds).check()


def test_weights_are_tuned_down_the_ladder():
    """At lambda 1 p_x is N((w, 1), 1): r1 is best at w = 2.5."""
    run, rows = run_locally(
        tuning(
            lower_reward={"value": value, "other": other}, lambda_=1.0,
            weights={"value": Variable("w", 0.5, 0.0, 6.0), "other": 1.0}, pool_size=2048,
        ),
        RunConfig(seed=3),
    )  # fmt: skip
    assert run.stop.status is Status.CONVERGED
    assert rows[-1]["interval_low/w"] < 2.5 < rows[-1]["interval_high/w"]
    assert np.isnan(run.state["descendants_lambdas"]).all()  # rungs have their numbers


def test_a_finite_gamma_has_its_own_optimum_from_the_same_rungs():
    """L_gamma of quadratic rewards: r1 / (gamma lambda) is one more quadratic tilt."""
    gamma, price = 4.0, 0.2

    def penalised(log_lambda):
        lambda_ = np.exp(log_lambda)
        kappa, m = gamma * lambda_, 1 / lambda_
        a, b = 1 + 2 * price / kappa, m + 1 / kappa  # N(m, 1) times exp(r1 / kappa)
        return -kappa * (b**2 / (2 * a) - m**2 / 2 - np.log(a) / 2)

    best = np.exp(minimize_scalar(penalised, bounds=(np.log(0.1), 2.0), method="bounded").x)
    run, rows = run_locally(tuning(gamma=gamma), RunConfig(seed=4))
    assert run.stop.status is Status.CONVERGED
    assert rows[-1]["interval_low/lambda"] < best < rows[-1]["interval_high/lambda"]


def test_a_kl_that_no_pool_reaches_is_reached():
    run, rows = run_locally(
        tuning(upper_reward=None, target={"kl": 4.0}, pool_size=2048), RunConfig(seed=5)
    )
    assert run.stop.status is Status.CONVERGED
    best = 1 / np.sqrt(8.0)
    assert rows[-1]["interval_low/lambda"] < best < rows[-1]["interval_high/lambda"]


def test_groups_of_prompts_go_down_ladders_of_their_own(tmp_path):
    """Of the prompt "high" u_0 is one more, so that its optimum is at 1 / lambda = 1.5."""
    table = tmp_path / "prompts.csv"
    table.write_text("prompt,group\nlow,a\nhigh,b\n")
    lambda_ = {g: Variable("lambda", 1.0, 0.05, 20.0, "log") for g in "ab"}
    problem = tuning(model=prompted, prompts=str(table), lambda_=lambda_, samples_per_prompt=1024)
    run, rows = run_locally(problem, RunConfig(seed=10))
    assert run.stop.status is Status.CONVERGED
    last = rows[-1]
    for group, best in {"a": BEST, "b": 1 / 1.5}.items():
        assert last[f"config/lambda/{group}"] == pytest.approx(best, rel=0.15)
        assert last[f"interval_low/lambda/{group}"] < last[f"interval_high/lambda/{group}"]
    assert run.state["rungs_scale"][-1, 0, 0] > run.state["rungs_scale"][-1, 1, 0]
    assert last["lambda_over_spread/a"] == pytest.approx(last["config/lambda/a"], rel=0.1)
    assert last["lambda_over_spread/b"] == pytest.approx(last["config/lambda/b"], rel=0.1)
    assert 0 < last["log_z_sd"] < 1
    _each_particle_has_its_own_prompts_lambda(run.state)
    problem.export(run.state, tmp_path)
    parts = pd.read_parquet(tmp_path / "parts.parquet")
    assert "ess" not in parts
    assert (parts["log_z_sd"] < 1).all()
    named = (tmp_path / "samples" / "descendants.txt").read_text().split()
    assert named == [("low", "high")[c] for c in run.state["descendants_prompts"]]
    assert (tmp_path / "samples" / "descendants.png").exists()


def _each_particle_has_its_own_prompts_lambda(state):
    shown = [state[f"descendants_{name}"][:, 1:] for name in ("rungs", "lambdas")]
    prompts = state["descendants_prompts"]
    assert set(prompts) == {0, 1}
    s = state["rungs_scale"][shown[0], prompts[:, None], 0]
    np.testing.assert_allclose(shown[1], 1 / s)


def test_islands_that_disagree_end_the_ladder():
    """Chains that can hardly move: one of an island, and an optimum that lies far below."""
    run, _ = run_locally(
        tuning(
            upper_reward=value, pool_size=512, lambda_=Variable("lambda", 1.0, 0.01, 9.0, "log")
        ),
        RunConfig(seed=0),
    )
    assert run.stop.status is Status.STOPPED
    assert "islands disagree about log Z" in run.stop.reason
    assert "raise pool_size" in run.stop.reason


def test_an_objective_that_is_flat_for_its_noise_ends_the_ladder():
    run, rows = run_locally(
        tuning(upper_reward=lambda u: 0.05 * priced(u) + other(u), pool_size=1024),
        RunConfig(seed=4, max_rounds=60),
    )
    assert run.stop.status is Status.STOPPED
    assert "the objective is flat around best_params" in run.stop.reason
    assert "raise pool_size" in run.stop.reason
    assert len(rows) < 45


def test_fewer_than_sixteen_islands_are_refused():
    with pytest.raises(InputError, match="islands is 8, but"):
        tuning(islands=8)


def test_a_pool_too_small_for_its_islands_stays_with_p0():
    given = {"model": prompted, "prompts": ("low", "high"), "samples_per_prompt": 29}
    run, rows = run_locally(tuning(estimator="auto", **given), RunConfig(seed=0))
    assert run.stop.status is Status.STOPPED
    assert "rung" not in rows[-1]
    with pytest.raises(InputError, match="a pool of 58 samples is too small for its islands, whi"):
        tuning(**given)
