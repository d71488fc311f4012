"""The reward problem: what it refuses, how its pool grows, when it stops and what it says."""

import math

import numpy as np
import pytest
import torch
from toys import bump, first, gaussian, near_one, second

from raybilevel import RewardTuning, RunConfig, Variable
from raybilevel.errors import InputError
from raybilevel.problems.base import Output, Stage, Status, Update
from raybilevel.problems.reward.convergence import Reason
from raybilevel.runtime.rounds import run_locally

LAMBDA = Variable("lambda", 3.0, 0.5, 20.0, "log")


def constant(samples):
    return torch.ones(len(samples))


def tuning(**changes):
    settings = {
        "model": gaussian,
        "lower_reward": first,
        "upper_reward": bump,
        "lambda_": LAMBDA,
        "pool_size": 8192,
        "shard_size": 2048,
    }
    return RewardTuning(**(settings | changes))


def solve(seed=0, **changes):
    run, rows = run_locally(tuning(**changes), RunConfig(seed=seed))
    return run, rows


@pytest.fixture(scope="module")
def solved():
    return solve(seed=3, held_out_reward=second, max_pool_size=16384)


def test_the_known_optimum_is_inside_the_interval(solved):
    run, rows = solved
    assert run.stop.status is Status.CONVERGED
    last = rows[-1]
    assert last["interval_low/lambda"] < 2.0 < last["interval_high/lambda"]
    assert last["interval_low/lambda"] < last["config/lambda"] < last["interval_high/lambda"]
    assert abs(last["gradient/lambda"]) < 1e-6
    assert last["gradient_se/lambda"] > 0


def test_the_objective_is_the_known_one_within_its_error(solved):
    last = solved[1][-1]
    mean = 1 / last["config/lambda"]
    assert (
        abs(last["upper_loss"] + math.exp(-((mean - 0.5) ** 2) / 4) / math.sqrt(2))
        < 4 * last["upper_loss_se"]
    )


def test_the_held_out_reward_is_reported(solved):
    """E of the second coordinate is zero under every p_x."""
    last = solved[1][-1]
    assert 0 < last["held_out_se"] < 0.1
    assert abs(last["held_out"]) < 4 * last["held_out_se"]


def test_the_held_out_reward_is_not_optimised(solved):
    without, _ = solve(seed=3, max_pool_size=16384)
    assert without.state["x"].tobytes() == solved[0].state["x"].tobytes()


def test_the_seeds_of_a_pool_are_all_different(solved):
    seeds = solved[0].state["pool/seed"]
    assert len(np.unique(seeds)) == len(seeds) >= 8192
    assert 0 <= seeds.min() <= seeds.max() < 2**32


def test_two_runs_draw_other_samples():
    one, other = tuning().init(0), tuning().init(1)
    assert one["seed_base"] != other["seed_base"]


def test_a_pools_rewards_are_those_of_its_seeds(solved):
    state = solved[0].state
    samples = gaussian(state["pool/seed"][:50].tolist())
    np.testing.assert_array_equal(state["pool/lower.lower"][:50], first(samples).double())
    np.testing.assert_array_equal(state["pool/upper"][:50], bump(samples).double())


def test_a_stage_is_the_same_for_the_same_state_and_changes_none():
    problem = tuning(pool_size=1024, shard_size=64)
    state = problem.init(0)
    kept = {name: value.copy() for name, value in state.items()}
    plan = problem.stage(0, state, [])
    assert isinstance(plan, Stage)
    assert plan == problem.stage(0, state, [])
    drawn = [problem.worker("cpu").run(shard, {}, 0) for shard in plan.shards]
    rows = {name: np.concatenate([o.rows[name] for o in drawn]) for name in drawn[0].rows}
    done = [Output(rows=rows, nfe=256)]
    one, other = problem.stage(0, state, done), problem.stage(0, state, done)
    assert isinstance(one, Update)
    assert one.metrics == pytest.approx(other.metrics, rel=0, abs=0, nan_ok=True)
    assert state.keys() == kept.keys()
    for name, value in kept.items():
        assert state[name].tobytes() == value.tobytes(), name


def test_a_stage_covers_the_rounds_samples_once():
    problem = tuning(pool_size=1000, shard_size=64, round_size=256)
    plan = problem.stage(0, problem.init(0), [])
    seeds = [seed for shard in plan.shards for seed in shard.args["seeds"]]
    assert [shard.index for shard in plan.shards] == [0, 1, 2, 3]
    assert len(seeds) == len(set(seeds)) == 256


def test_a_pool_grows_where_growing_helps():
    """300 samples have no ESS of 400 anywhere; a few thousand have."""
    run, rows = solve(pool_size=300, max_pool_size=16384, shard_size=100, round_size=2000)
    sizes = [row["pool_size"] for row in rows]
    assert sizes == sorted(sizes)
    assert 300 < sizes[-1] <= 16384
    assert np.isnan(rows[0]["upper_loss"])
    assert not np.isnan(rows[-1]["upper_loss"])
    assert len(run.state["pool/seed"]) == sizes[-1]


def test_a_pool_that_can_be_believed_nowhere_gives_no_number():
    run, rows = solve(pool_size=200, max_pool_size=300, shard_size=100)
    last = rows[-1]
    assert run.stop.status is Status.STOPPED
    assert "believed nowhere" in run.stop.reason
    assert "raise max_pool_size (to " in run.stop.reason
    numbers = ("upper_loss", "upper_loss_se", "gradient/lambda", "interval_low/lambda")
    assert all(math.isnan(last[name]) for name in numbers)
    assert last["config/lambda"] == LAMBDA.init


def test_an_objective_that_falls_beyond_what_can_be_believed_is_no_optimum():
    run, rows = solve(lower_reward=first, upper_reward=first, pool_size=4096, max_pool_size=4096)
    assert run.stop.status is Status.STOPPED
    assert "no optimum" in run.stop.reason
    assert "price into the upper reward" in run.stop.reason
    last = rows[-1]
    assert math.isnan(last["interval_low/lambda"])
    assert last["ess"] >= 400  # where it stands, the pool can be believed
    assert last["gradient/lambda"] > 4 * last["gradient_se/lambda"]  # and lambda should be less


def test_at_a_bound_there_is_no_interval():
    bounded = Variable("lambda", 6.0, 4.0, 20.0, "log")
    run, rows = solve(lambda_=bounded)
    assert run.stop.status is Status.AT_BOUND
    assert "the bound of lambda" in run.stop.reason
    assert rows[-1]["config/lambda"] == 4.0
    assert math.isnan(rows[-1]["interval_low/lambda"])


def test_a_flat_objective_is_called_flat():
    run, _ = solve(upper_reward=constant, pool_size=4096, max_pool_size=4096)
    assert run.stop.status is Status.STOPPED
    assert "flat" in run.stop.reason


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_to_stop_but_an_optimum_names_a_remedy(reason):
    status, text = reason.value
    assert status in Status
    if reason is not Reason.CONVERGED:
        assert any(verb in text for verb in ("raise", "move", "look", "check", "narrow"))


def test_a_weight_is_tuned_with_lambda_fixed():
    """The mean of p_x is w / lambda, so the best w is half of lambda."""
    weight = Variable("w", 0.5, 0.2, 4.0)
    run, rows = solve(lambda_=2.0, weights={"lower": weight}, max_pool_size=16384)
    assert run.stop.status is Status.CONVERGED
    assert rows[-1]["interval_low/w"] < 1.0 < rows[-1]["interval_high/w"]


def test_two_weights_are_tuned_together():
    """Two bumps, best at means (0.3, -0.3)."""

    def both(samples):
        return torch.exp(-((samples[:, 0] - 0.3) ** 2)) + torch.exp(-((samples[:, 1] + 0.3) ** 2))

    _, rows = solve(
        lambda_=1.0,
        lower_reward={"a": first, "b": second},
        weights={"a": Variable("wa", 0.1, -1, 1), "b": Variable("wb", 0.1, -1, 1)},
        upper_reward=both,
        max_pool_size=16384,
    )
    last = rows[-1]
    assert last["interval_low/wa"] < 0.3 < last["interval_high/wa"]
    assert last["interval_low/wb"] < -0.3 < last["interval_high/wb"]


def test_a_finite_gamma_reports_both_optima():
    """The penalty favours variance of r1, which moves the optimum of L_gamma."""
    run, rows = solve(gamma=20.0, max_pool_size=16384)
    last = rows[-1]
    assert {"penalised_loss", "unpenalised/lambda"} <= last.keys()
    exact, _ = solve(max_pool_size=16384, pool_size=len(run.state["pool/seed"]))
    assert last["unpenalised/lambda"] == pytest.approx(exact.state["x"][0], rel=1e-6)
    assert last["config/lambda"] != pytest.approx(last["unpenalised/lambda"], rel=1e-3)


def test_an_infinite_gamma_reports_one():
    _, rows = solve(pool_size=1024, max_pool_size=1024)
    assert not {"penalised_loss", "unpenalised/lambda"} & rows[-1].keys()


def test_a_trial_holds_the_variables_fixed():
    problem = tuning(lower_reward={"a": first, "b": second},
                     weights={"a": 1.0, "b": Variable("w", 1.0, 0.0, 2.0)})  # fmt: skip
    at = {"lambda": 3.0, "w": 0.25}
    run, (row,) = run_locally(problem.trial(at), RunConfig(seed=3))
    assert run.stop.reason == "evaluated as asked for"
    assert {name: row[f"config/{name}"] for name in at} == at
    assert len(run.state["pool/seed"]) == problem.pool_size
    assert row["upper_loss"] == problem.landscape(run.state)(np.array([3.0, 0.25]))
    assert row["nfe_total"] == problem.trial_cost().whole == problem.trial_cost().unit


def test_ends_are_scored_on_one_pool_that_the_scoring_draws():
    problem = tuning()
    ends = [{"x": np.array([x])} for x in (0.5, 2.0)]
    run, (row,) = run_locally(problem.scoring(ends, 512), RunConfig(seed=8))
    assert len(run.state["pool/seed"]) == 512
    f = problem.landscape(run.state)
    assert run.state["scores"].tolist() == [f(end["x"]) for end in ends]
    assert np.all(run.state["scores_se"] > 0)
    assert row["upper_loss"] == run.state["scores"][-1]


def test_a_good_problem_passes_its_check():
    tuning(held_out_reward=near_one).check()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": {"other": 1.0}}, r"weights are given for \['other'\], but .* \['lower'\]"),
        ({"max_pool_size": 10}, r"max_pool_size 10 is below pool_size 8192"),
        ({"gamma": 0.0}, r"gamma is 0\.0: input should be greater than 0"),
        ({"gamma": math.nan}, r"gamma is nan"),
        ({"lower_reward": {}}, r"lower_reward is empty"),
        (
            {
                "lower_reward": {"a": first, "b": second},
                "weights": {"a": Variable("lambda", 1, 0, 2), "b": 1.0},
            },
            r"named \['lambda', 'lambda'\], but each needs a name of its own",
        ),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        tuning(**changes)


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        (lambda s: s[:, 0].numpy(), "numpy"),
        (lambda s: s[:, 0].tolist(), "a list"),
        (lambda s: s[:, 0] > 0, "bools"),
        (lambda s: (s[:, 0] * 10).long(), "ints"),
        (lambda s: s[:, 0].bfloat16(), "bfloat16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_reward_may_return_any_kind_of_number(returned, kind):
    problem = tuning(upper_reward=returned, pool_size=64, max_pool_size=64)
    problem.check()
    run, _ = run_locally(problem)
    assert run.state["pool/upper"].dtype == np.float64, kind


def test_samples_may_have_any_shape():
    def video(seeds):
        return gaussian(seeds)[:, :, None, None, None].expand(-1, -1, 3, 2, 2).clone()

    def brightness(samples):
        return samples[:, 0].mean((1, 2, 3))

    problem = tuning(
        model=video, lower_reward=brightness, upper_reward=brightness, pool_size=64,
        max_pool_size=64,
    )  # fmt: skip
    problem.check()
    run, _ = run_locally(problem)
    assert run.state["samples_after"].shape == (32, 2, 3, 2, 2)
