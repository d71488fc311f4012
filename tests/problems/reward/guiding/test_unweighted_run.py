"""The paper's estimator on a stock pipeline whose guided paths' law is known.

Of Gaussian pixels every step is linear, and so are the rewards here: guidance along r2 = u alone
adds what no noise changes, and a path's KL to p0's is A / lambda^2, A = sum_t (s_t du/dx_t)^2 / 2.
"""

import numpy as np
import pytest
from guided_toys import black_box, gaussian_tuning, other, priced

from raybilevel import RunConfig, Variable
from raybilevel.errors import InputError
from raybilevel.problems.base import Status
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.gaussian_pipeline import SD, gaussian_pipeline, pixel, variance

STEPS, GAMMA = 10, 5.0


def half(images):
    return 0.5 * pixel(images)


def tuning(**changes):
    given = {
        "upper_reward": half, "lambda_": Variable("lambda", 1.0, 0.9, 2.0, "log"),
        "estimator": "guided_unweighted", "gamma": GAMMA, "sampling_steps": STEPS,
        "pool_size": 3328, "round_size": 512, "max_pool_size": 3328, "held_out_reward": other,
    }  # fmt: skip
    return gaussian_tuning(**given | changes)


def path_kl():
    """A, in nats times lambda^2."""
    scheduler = gaussian_pipeline().scheduler
    scheduler.set_timesteps(STEPS)
    found = 0.0
    for t in scheduler.timesteps:
        abar = float(scheduler.alphas_cumprod[t])
        slope = np.sqrt(abar) * SD**2 / (abar * SD**2 + 1 - abar) / SD
        before = t - scheduler.config.num_train_timesteps // STEPS
        found += float(scheduler._get_variance(t, before)) * slope**2 / 2
    return found


@pytest.fixture(scope="module")
def linear():
    return run_locally(tuning(), RunConfig(seed=1))


def test_linear_rewards_have_the_kl_and_the_gradient_that_are_known(linear):
    for row in linear[1]:
        kl = path_kl() / row["config/lambda"] ** 2
        assert row["kl"] == pytest.approx(kl, rel=1e-4)
        known = GAMMA * kl * ((1 + 0.5 / GAMMA) ** 2 - 1)
        assert row["gradient/lambda"] == pytest.approx(known, rel=1e-3)
        assert abs(row["held_out"]) < 4 * np.sqrt(variance(STEPS) / 512)


def test_exact_weights_stand_beside_and_say_how_far_off_it_is(linear):
    said = [row for row in linear[1] if not np.isnan(row["exact/upper_loss"])]
    assert said
    v = variance(STEPS)
    for row in said:
        x = row["config/lambda"]
        assert abs(row["exact/upper_loss"] + 0.5 * v / x) < 4 * row["exact/upper_loss_se"]
        assert abs(row["exact/gradient/lambda"] - 0.5 * v / x**2) < (
            4 * row["exact/gradient_se/lambda"]
        )
        assert row["exact/kl"] == pytest.approx(v / (2 * x**2), rel=0.2)
        assert row["kl"] < row["exact/kl"]  # guidance at the predicted clean sample falls short


def test_steps_go_down_the_gradient_and_the_ledger_counts_both_paths(linear):
    run, rows = linear
    x = [row["config/lambda"] for row in rows]
    assert x[0] == 1.0
    assert x[1] < x[0]
    assert x[-1] == 0.9
    assert len(rows) == 6  # after 256 paths of p0
    shown = 64
    assert rows[-1]["nfe_total"] == STEPS * 3 * (256 + 6 * 2 * 512 + shown)
    assert run.state["x"][0] == x[-1]
    assert run.stop.status is Status.AT_BOUND
    assert "vanishes but for what is held at a bound; it says that F is -0.0" in run.stop.reason
    assert "of p_x itself, by the exact weights of its paths, F is -0.18" in run.stop.reason


def test_a_run_that_is_cut_short_stands_where_it_has_drawn():
    run, rows = run_locally(tuning(), RunConfig(seed=1, max_rounds=2))
    assert run.state["x"][0] == rows[-1]["config/lambda"]
    assert run.state["next_x"][0] < run.state["x"][0]


def test_where_its_own_gradient_vanishes_p_xs_does_not():
    """A path's own mean is below its end's: the gradient along it wants more than p_x does."""
    problem = tuning(
        upper_reward=priced, pool_size=4096, round_size=256, max_pool_size=4096, gamma=10.0,
        sampling_steps=20,
        lambda_=Variable("lambda", 0.06, 0.03, 0.2, "log"),
    )  # fmt: skip
    run, rows = run_locally(problem, RunConfig(seed=0))
    last, best = rows[-1], variance(20) / 2.5
    assert abs(last["gradient/lambda"]) < 4 * last["gradient_se/lambda"]
    assert last["config/lambda"] < best / 2
    assert run.stop.status is Status.STOPPED  # some 40 nats from p0
    assert "how far its samples are from p_x is not known" in run.stop.reason


def test_samples_are_those_of_guidance_alone(linear):
    state, problem = linear[0].state, tuning()
    last = state["pool/lower.lower"][state["pool/stratum"] == 6]
    drawn = pixel(problem.samples(state, 40, 0, "cpu")).numpy()
    assert np.abs(drawn[:, None] - last).min(1).max() < 1e-4
    assert pixel(problem.samples(state, 64, 0, "cpu")).mean() == pytest.approx(last.mean(), abs=0.2)


def test_an_upper_reward_without_a_gradient_is_refused():
    with pytest.raises(InputError, match="reward 'upper' has no gradient"):
        tuning(upper_reward=black_box).worker("cpu")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gamma": np.inf}, "gamma is inf, and its gradient is gamma times a difference"),
        (
            {"gamma": np.inf, "upper_reward": None, "target": {"kl": 1.0}},
            "and target given, which it does not know; give estimator: guided",
        ),
    ],
)
def test_what_the_paper_does_not_know_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        tuning(**changes)
