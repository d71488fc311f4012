"""Groups of prompts that share a variable: one optimum of all, known in closed form.

Of prompts with optima a and b, r1 = -((z1 - a)^2 + (z2 - b)^2) / 2 and r2 = z1 + w z2, so that
p_x has the means t and w t at t = 1 / lambda, and of a group with the averages a and b
F = ((t - a)^2 + (w t - b)^2) / 2, up to what does not depend on x.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from raybilevel import RewardTuning, Variable
from raybilevel.errors import InputError
from raybilevel.problems.base import Status
from raybilevel.problems.reward.groups.coefficients import GroupedCoefficients
from raybilevel.problems.reward.groups.joint import JointObjective
from raybilevel.problems.reward.parts import described, parts_of
from raybilevel.runtime.rounds import run_locally
from raybilevel.upper.diagnostics import Diagnostics
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts

GROUPS, COUNTS, EACH = ("thin", "thick"), (20, 20), 256
SHARES = np.repeat([0.3 / 20, 0.7 / 20], COUNTS)
MEANS = np.repeat([[0.8, 0.4], [0.7, 0.5]], COUNTS, axis=0)
LAMBDA, WEIGHT = Variable("lambda", 3.0, 0.5, 30.0, "log"), Variable("w", 0.5, 0.0, 3.0)
FREE = {"thin": LAMBDA, "thick": LAMBDA}
NAMED = ("lambda_", "weights.clip", "weights.size")


def drawn(rng, optima, each=EACH):
    """A pool of prompts of these optima (C, 2)."""
    z = rng.standard_normal((len(optima), each, 2))
    upper = -((z - optima[:, None]) ** 2).sum(axis=2) / 2
    return Pool(upper.ravel(), z.reshape(-1, 2))


def objective_on(pool, given=(FREE, 1.0, WEIGHT), counts=COUNTS, shares=SHARES, gamma=math.inf):
    coefficients = GroupedCoefficients.of(given, NAMED)
    prompts = Prompts(np.repeat(np.arange(len(shares)), pool.n // len(shares)), shares)
    groups = tuple(np.repeat(GROUPS, counts).tolist())
    return JointObjective(pool, coefficients, gamma, prompts, groups=groups)


def loss(x, optima):
    """F at (w, lambda_thin, lambda_thick), for prompts of these optima (C, 2)."""
    of, t = optima.reshape(2, -1, 2).mean(axis=1), 1 / x[1:]
    return float(np.array([0.3, 0.7]) @ ((t - of[:, 0]) ** 2 + (x[0] * t - of[:, 1]) ** 2)) / 2


def gradient(x, optima):
    return np.array([loss(x + h, optima) - loss(x - h, optima) for h in 1e-5 * np.eye(3)]) / 2e-5


def optimum(optima):
    return minimize(loss, [0.6, 1.3, 1.3], (optima,), tol=1e-7).x


def test_errors_of_the_joint_optimum_are_how_far_it_is_off_for_these_and_for_prompts_like_these():
    """By the step of Newton's from the one that is known, all with the Hessian of all pools."""
    near, steps, errors, hessians = MEANS / 2, [], [], []
    rng, best = np.random.default_rng(0), optimum(near)
    for _ in range(100):
        optima = near + 0.1 * rng.standard_normal(near.shape)
        e, hessian = objective_on(drawn(rng, optima, 100)).curved(best)
        hessians.append(hessian())
        steps.append([e.gradient - gradient(best, optima), e.gradient])
        of = (e.gradient_influence, e.gradient_influence_of_prompts)
        errors.append([moved.T @ moved / len(moved) ** 2 for moved in of])
    inverse = np.linalg.inv(np.mean(hessians, axis=0))
    off, squares = np.array(steps) @ inverse, inverse @ np.array(errors) @ inverse
    spread = np.sqrt(np.mean(off**2, axis=0))
    se = np.sqrt(np.diagonal(squares.mean(axis=0), axis1=1, axis2=2))
    np.testing.assert_allclose(se, spread, rtol=0.2)
    assert np.all(np.abs(off.mean(axis=0)) < 0.35 * spread)


@pytest.mark.parametrize("gamma", [math.inf, 20.0])
@pytest.mark.parametrize(
    "given",
    [
        (FREE, 1.0, WEIGHT),
        (LAMBDA, {"thin": 1.0, "thick": Variable("v", 1.0, 0.0, 2.0)}, WEIGHT),
    ],
    ids=["lambda by group", "lambda shared"],
)
def test_gradient_and_hessian_are_the_derivatives_of_all_variables(given, gamma):
    """One of the groups is a single prompt, which nothing jackknifes."""
    pool, x = drawn(np.random.default_rng(1), MEANS[[0, -2, -1]], 64), np.array([0.7, 2.0, 3.0])
    if given[0] is LAMBDA:
        x = np.array([2.5, 0.7, 1.2])
    shares = np.array([0.3, 0.3, 0.4])
    objective = objective_on(pool, given, counts=(1, 2), shares=shares, gamma=gamma)
    e, hessian = objective.curved(x)
    ends = [[objective.estimate(x + s * h) for s in (1, -1)] for h in 1e-4 * np.eye(3)]
    of_value = [(up.value - down.value) / 2e-4 for up, down in ends]
    of_gradient = [(up.gradient - down.gradient) / 2e-4 for up, down in ends]
    np.testing.assert_allclose(e.gradient, of_value, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(hessian(), of_gradient, rtol=1e-4, atol=1e-7)
    assert objective.examine(e) == objective.at(x).diagnostics


@pytest.fixture(scope="module")
def frame():
    optima = MEANS + 0.1 * np.random.default_rng(2).standard_normal(MEANS.shape)
    pool = drawn(np.random.default_rng(3), optima)
    each = np.repeat(GROUPS, np.array(COUNTS) * EACH)
    columns = {"clip": pool.lower[:, 0], "size": pool.lower[:, 1], "wanted": pool.upper}
    prompt = np.repeat(np.arange(len(MEANS)), EACH).astype(str)
    share = {"weight": np.repeat(SHARES, EACH)}
    return pd.DataFrame({"prompt": prompt, "group": each, **share, **columns})


@pytest.fixture(scope="module")
def table(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("joint") / "rewards.parquet"
    frame.to_parquet(path)
    return path


def tuning(path, **changes):
    given = {
        "pool": str(path), "upper_reward": "column:wanted", "lambda_": FREE,
        "lower_reward": {"clip": "column:clip", "size": "column:size"},
        "weights": {"clip": 1.0, "size": WEIGHT},
    }  # fmt: skip
    return RewardTuning(**given | changes)


def test_a_run_says_of_each_variable_what_it_says_without_groups(table, tmp_path):
    problem = tuning(table)
    run, (row,) = run_locally(problem)
    assert run.stop.reason.startswith("the gradient vanishes at best_params")
    names = ["w", "lambda/thin", "lambda/thick"]
    assert [v.name for v in problem.variables] == names
    for name, known in zip(names, optimum(MEANS), strict=True):
        low, high = (row[f"interval_{end}_prompts_like_these/{name}"] for end in ("low", "high"))
        assert low < known < high
        assert row[f"interval_low/{name}"] < row[f"config/{name}"] < row[f"interval_high/{name}"]
    assert row["upper_loss_se_prompts_like_these"] > row["upper_loss_se"]
    problem.export(run.state, tmp_path)
    curve = pd.read_parquet(tmp_path / "curve.parquet").groupby("variable", sort=False)
    assert list(curve.groups) == names
    for name, drawn_over in curve:  # each is least at the optimum of all
        least = drawn_over.loc[drawn_over["upper_loss"].idxmin(), "value"]
        assert least == pytest.approx(row[f"config/{name}"], rel=0.1)
    parts = pd.read_parquet(tmp_path / "parts.parquet").set_index("name")
    assert parts.loc["thin", "alone/w"] != parts.loc["thick", "alone/w"]
    assert math.isnan(parts.loc["thin", "alone/lambda/thick"])
    loss = -0.3 * parts.loc["thin", "reward"] - 0.7 * parts.loc["thick", "reward"]
    assert row["upper_loss"] == pytest.approx(loss)


def test_groups_that_differ_in_nothing_have_the_numbers_of_no_groups(table):
    same, of_each = {"clip": 1.0, "size": 0.5}, {"clip": {"thin": 1.0, "thick": 1.0}, "size": 0.5}
    (one,), (joint,) = (
        run_locally(tuning(table, lambda_=LAMBDA, weights=weights, gamma=200.0))[1]
        for weights in (same, of_each)
    )
    for name in (
        "config/lambda", "gradient_se/lambda", "interval_low/lambda", "interval_high/lambda",
        "upper_loss", "upper_loss_se", "lower_loss", "penalised_loss", "unpenalised/lambda", "ess",
    ):  # fmt: skip
        assert joint[name] == pytest.approx(one[name], rel=1e-7), name


def test_a_group_that_cannot_say_leaves_all_unknown_and_is_named(frame, tmp_path):
    few = frame[(frame["group"] == "thin") | frame["prompt"].isin(["38", "39"])]
    few.to_parquet(tmp_path / "few.parquet")
    run, (row,) = run_locally(tuning(tmp_path / "few.parquet"))
    assert run.stop.status is Status.STOPPED
    assert "(thick: " in run.stop.reason and "thin:" not in run.stop.reason
    assert math.isnan(row["interval_low/lambda/thin"]) and math.isnan(row["upper_loss"])


def test_a_group_that_alone_is_undetermined_is_not_searched_alone(table):
    """Of all the other group's number says how large they are."""
    other = Variable("s", 0.5, 0.0, 3.0)
    weights = {"clip": {"thin": WEIGHT, "thick": 1.0}, "size": other}
    problem = tuning(table, lambda_=LAMBDA, weights=weights)
    run, (row,) = run_locally(problem)
    assert run.stop.status is Status.CONVERGED
    assert row["interval_low/w/thin"] < row["config/w/thin"] < row["interval_high/w/thin"]
    names, groups = [""] * len(MEANS), problem.prompt_list.groups
    parts = parts_of(problem.objective(run.state), run.state["x"], names, groups)
    thin, thick = (described(next(parts), None) for _ in GROUPS)
    assert math.isnan(thin["alone/lambda"]) and thick["alone/lambda"] > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": {"clip": 0.0, "size": WEIGHT}}, "one weight as a number other than 0"),
        ({"weights": {"clip": Variable("v", 1.0, 0.0, 2.0), "size": WEIGHT}}, "free together"),
        (
            {"lambda_": LAMBDA, "weights": {"clip": dict.fromkeys(GROUPS, WEIGHT),
                                            "size": Variable("s", 1.0, 0.0, 2.0)}},
            "; give lambda_ or one weight as a number",
        ),
        (
            {"weights": {"clip": 1.0, "size": Variable("lambda/thin", 1.0, 0.0, 2.0)}},
            "but each needs a name of its own",
        ),
    ],
    ids=["zero", "lambda by group", "weight by group", "name"],
)  # fmt: skip
def test_what_leaves_shared_variables_undetermined_is_refused(table, changes, said):
    with pytest.raises(InputError) as refused:
        tuning(table, **changes).check()
    assert said in str(refused.value)


def test_of_moved_samples_the_worst_overlap_and_disagreement_of_all_groups_count():
    joint = objective_on(drawn(np.random.default_rng(0), MEANS, 2))
    nothing = (math.nan,) * 3
    seen = {
        "thin": Diagnostics(math.nan, 1.0, *nothing, overlap=0.95, log_z_sd=0.2),
        "thick": Diagnostics(math.nan, 2.0, *nothing, overlap=0.99, log_z_sd=0.7),
    }
    worst = joint.worst(seen)
    assert (worst.overlap, worst.log_z_sd, worst.kl) == (0.95, 0.7, 2.0)
