"""A target in place of an upper reward: which lambda has it, how surely, and where none does.

Of a Gaussian lower reward of spread s the KL is s^2 / (2 lambda^2), and p_x has the mean
s^2 / lambda.
"""

import math

import numpy as np
import pytest
import torch
from reward_toys import solve
from toys import bump, gaussian, second

from raybilevel import RewardTuning, Variable
from raybilevel.problems.base import Status
from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.shown.along import AlongLambda
from raybilevel.problems.reward.targets.objective import TargetObjective
from raybilevel.problems.reward.targets.solver import TargetSolver
from raybilevel.problems.reward.targets.target import Target
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.prompted_oracles import PROMPTED_ORACLES
from raybilevel.upper.optimisers.newton import Termination
from raybilevel.upper.penalty import Pool

KL, LAMBDA = 0.08, 2.5  # of a spread of one


def aimed(seed=0, **changes):
    return solve(seed, upper_reward=None, **{"target": {"kl": KL}} | changes)


@pytest.fixture(scope="module")
def solved():
    return aimed(held_out_reward=second)


def test_the_known_lambda_is_inside_the_interval(solved):
    run, rows = solved
    last = rows[-1]
    assert run.stop.status is Status.CONVERGED
    assert "at best_params the KL is 0.08, and every" in run.stop.reason
    assert last["interval_low/lambda"] < LAMBDA < last["interval_high/lambda"]
    width = last["interval_high/lambda"] - last["interval_low/lambda"]
    assert width < 0.2


def test_a_row_says_what_is_reached_and_how_far_it_is_from_the_target(solved):
    last = solved[1][-1]
    assert last["target"] == pytest.approx(KL, abs=1e-8)
    assert last["upper_loss"] == pytest.approx(0, abs=1e-8)
    assert last["target_se"] == last["upper_loss_se"] > 0
    assert last["kl"] == pytest.approx(KL, abs=0.001)
    assert abs(last["held_out"]) < 4 * last["held_out_se"]
    assert "upper_loss_se_prompts_like_these" not in last


def test_a_pool_of_a_target_has_no_upper_reward(solved):
    assert "pool/upper" not in solved[0].state


@pytest.mark.parametrize(
    ("reward", "at_least", "known", "settings"),
    [
        ("lower", 0.4, 2.5, {}),  # the mean is 1 / lambda: from below, at the largest lambda
        ("held_out", 0.69, None, {"held_out_reward": bump, "lambda_": (0.4, 1.5)}),
    ],
    ids=["that rises", "that falls"],
)
def test_the_reward_that_is_asked_for_is_kept_where_lambda_ends(reward, at_least, known, settings):
    """Of bump E is exp(-(1 / lambda - 1/2)^2 / 4) / sqrt(2), which falls below lambda = 2."""
    low, high = settings.pop("lambda_", (0.5, 20.0))
    if known is None:
        known = 1 / (0.5 + 2 * math.sqrt(-math.log(at_least * math.sqrt(2))))
    run, rows = aimed(
        lambda_=Variable("lambda", high, low, high, "log"), max_pool_size=8192,
        target={"reward": reward, "at_least": at_least}, **settings,
    )  # fmt: skip
    last = rows[-1]
    assert run.stop.status is Status.CONVERGED, run.stop.reason
    assert last["interval_low/lambda"] < known < last["interval_high/lambda"]
    assert last["target"] == pytest.approx(at_least, abs=1e-8)


def spread_out(seeds, prompts):
    return gaussian(seeds) * torch.tensor([[float(p)] for p in prompts])


def test_over_prompts_the_kl_is_their_average_by_shares():
    """Of spreads of 0.8, thrice, and 1.2."""
    known = math.sqrt((3 * 0.8**2 + 1.2**2) / 4 / 2 / KL)
    run, rows = aimed(model=spread_out, prompts=("0.8", "1.2", "0.8", "0.8"))
    last = rows[-1]
    assert run.stop.status is Status.CONVERGED
    assert last["interval_low/lambda"] < known < last["interval_high/lambda"]
    assert math.isnan(last["interval_low_prompts_like_these/lambda"])  # two prompts tell nothing
    best = run.state["along_lambdas"][:, AlongLambda.END]
    np.testing.assert_array_equal(best, np.repeat(run.state["x"], 2))


@pytest.mark.parametrize(
    ("target", "low", "x", "said"),
    [
        ({"kl": 1e-4}, 4.0, 20.0, "brings the KL to 0.0001: between 4 and 20 it is 0.001"),
        ({"kl": 0.1}, 4.0, 4.0, "brings the KL to 0.1: between 4 and 20 it is 0.001"),
        ({"reward": "lower", "at_least": -0.3}, 4.0, 4.0, "'lower' to -0.3: between 4 and 20 it"),
        ({"reward": "lower", "at_least": 0.4}, 4.0, 4.0, "'lower' to 0.4: between 4 and 20 it is"),
    ],
    ids=["above everywhere", "below everywhere", "kept everywhere", "never kept"],
)
def test_a_target_that_no_lambda_reaches_ends_at_a_bound_with_the_range(target, low, x, said):
    lambda_ = Variable("lambda", 6.0, low, 20.0, "log")
    run, rows = aimed(target=target, lambda_=lambda_, pool_size=2048)
    assert run.stop.status is Status.AT_BOUND
    assert said in run.stop.reason
    assert run.state["x"][0] == pytest.approx(x)
    assert math.isnan(rows[-1]["interval_low/lambda"])


def test_a_target_beyond_what_can_be_believed_is_no_optimum_but_how_far_that_is():
    lambda_ = Variable("v", 1, 0.1, 20.0)
    run, rows = aimed(target={"kl": 4.0}, lambda_=lambda_, pool_size=2048, max_pool_size=2048)
    last = rows[-1]
    assert run.stop.status is Status.STOPPED
    assert "does not bring the KL to 4: from lambda 20 down to there it is 0.001" in run.stop.reason
    assert "raise max_pool_size, or move the target" in run.stop.reason
    assert math.isnan(last["interval_low/v"])
    assert last["target"] < 4.0
    assert last["ess"] >= 100  # where it stands, the pool can be believed
    assert last["upper_loss"] == pytest.approx(4.0 - last["target"])


def test_a_reward_that_lambda_does_not_move_has_no_interval():
    """Its crossings of zero are those of noise."""
    target = {"reward": "held_out", "at_least": -0.03}
    run, _ = aimed(target=target, held_out_reward=second, pool_size=2048, max_pool_size=2048)
    assert run.stop.status is Status.STOPPED
    assert "hardly changes with lambda" in run.stop.reason


def test_a_table_of_rewards_will_do(tmp_path):
    """With prompts: what each is at the lambda of all, and which is its own."""
    import pandas as pd

    rng = np.random.default_rng(0)
    prompts = np.repeat(["0.8", "1.2"], 4000)
    scores = rng.normal(size=8000) * prompts.astype(float)
    pd.DataFrame({"prompt": prompts, "s": scores}).to_parquet(tmp_path / "p.parquet")
    problem = RewardTuning(
        pool=str(tmp_path / "p.parquet"), lower_reward="column:s", target={"kl": KL},
        lambda_=Variable("lambda", 3.0, 1.0, 6.0, "log"),
    )  # fmt: skip
    problem.check()
    run, _ = run_locally(problem)
    assert run.stop.status is Status.CONVERGED
    problem.export(run.state, tmp_path)
    parts = pd.read_parquet(tmp_path / "parts.parquet")
    assert "reward" not in parts
    for row in parts.to_dict("records"):
        spread, ends = float(row["name"]), (row["alone_low/lambda"], row["alone_high/lambda"])
        assert ends[0] < LAMBDA * spread < ends[1]
        known = spread**2 / 2 / run.state["x"][0] ** 2
        assert row["target"] == pytest.approx(known, abs=4 * row["target_se"])
        assert row["kl"] == pytest.approx(row["target"], rel=0.01)


def found_on(pool, prompts=None, scale="log"):
    """The lambda that a pool says has a KL of 0.1."""
    coefficients = Coefficients((Variable("lambda", 3.0, 1.5, 4.0, scale), 1.0))
    objective = TargetObjective(pool, coefficients, prompts=prompts, target=Target(kl=0.1))
    return TargetSolver(objective).solve()


def test_a_variable_on_a_linear_scale_has_the_same_lambda_and_nearly_the_same_interval():
    pool = Pool(np.zeros(4000), np.random.default_rng(0).normal(size=(4000, 1)))
    log, linear = (found_on(pool, scale=scale) for scale in ("log", "linear"))
    assert log.x == pytest.approx(linear.x, rel=1e-9)
    np.testing.assert_allclose(log.bounds, linear.bounds, rtol=1e-3)
    assert log.bounds[0] < log.x < log.bounds[1]


@pytest.mark.parametrize(("prompts", "each", "believed"), [(1, 4096, 0.6), (300, 16, 0.04)])
def test_a_kl_is_believed_as_far_as_its_constants_are_known(prompts, each, believed):
    """Whatever its slope rests on, and over many prompts however large its correction is."""
    chosen = PROMPTED_ORACLES[0].chosen(np.random.default_rng(1), prompts)
    pool, of = chosen.draw(np.random.default_rng(2), each)
    coefficients = Coefficients((Variable("lambda", 3.0, 0.1, 20.0, "log"), 1.0))
    for kl, termination in ((believed, Termination.INTERIOR), (3.0, Termination.FRONTIER)):
        objective = TargetObjective(pool, coefficients, prompts=of, target=Target(kl=kl))
        found = TargetSolver(objective).solve()
        assert found.termination is termination
        assert found.point.diagnostics.ok
    assert found.refused.failures
    assert believed < found.point.estimate.value < 3.0


def test_intervals_hold_the_lambda_of_these_prompts_and_of_prompts_like_them():
    """Over the oracles' prompts, 30 of 64 samples each, by fresh seeds."""
    oracle, hits = PROMPTED_ORACLES[0], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        chosen = oracle.chosen(rng, 30)
        found = found_on(*chosen.draw(rng, 64))
        assert found.termination is Termination.INTERIOR
        ends = zip((found.bounds, found.bounds_of_prompts), (chosen, oracle), strict=True)
        hits.append([low < math.sqrt(known.kl(1.0) / 0.1) < high for (low, high), known in ends])
    assert np.mean(hits, axis=0).min() >= 0.8  # 95 %, less three standard errors of 20


def test_of_a_pool_without_prompts_no_gate_speaks_of_prompts():
    lower = 1e3 * np.random.default_rng(0).normal(size=(500, 1))
    said = ", ".join(found_on(Pool(np.zeros(500), lower)).refused.failures)
    assert "the bias is" in said and "the normalising constant is known to" in said
    assert "prompt" not in said
