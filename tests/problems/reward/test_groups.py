"""Variables of groups of prompts: each group's optimum is what it would be without the others."""

import math

import numpy as np
import pandas as pd
import pytest

from raybilevel import RewardTuning, RunConfig, Variable
from raybilevel.errors import InputError
from raybilevel.problems.base import Status
from raybilevel.problems.reward.shown.along import AlongLambda
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.prompted_oracles import PROMPTED_ORACLES

THIN, THICK = PROMPTED_ORACLES[2], PROMPTED_ORACLES[1]
EACH, COUNT = 256, 24


def variable(high=30.0):
    return Variable("lambda", 3.0, 0.2, high, "log")


def rows(oracle, group, seed, each=EACH, count=COUNT):
    rng = np.random.default_rng(seed)
    pool, prompts = oracle.chosen(rng, count).draw(rng, each)
    names = [f"{group} {c}" for c in prompts.of]
    return pd.DataFrame(
        {"prompt": names, "group": group, "clip": pool.lower[:, 0], "wanted": pool.upper}
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    both = pd.concat([rows(THIN, "thin", 1), rows(THICK, "thick", 2)])
    both["held"] = 2 * both["wanted"]
    path = tmp_path_factory.mktemp("groups") / "rewards.parquet"
    both.sample(frac=1, random_state=0).to_parquet(path)
    return path


def tuning(path, **changes):
    given = {
        "pool": str(path), "lower_reward": "column:clip", "upper_reward": "column:wanted",
        "lambda_": {"thin": variable(), "thick": variable()},
    }  # fmt: skip
    return RewardTuning(**given | changes)


@pytest.fixture(scope="module")
def solved(table):
    return run_locally(tuning(table, held_out_reward="column:held"), RunConfig())


@pytest.fixture(scope="module")
def alone(table, tmp_path_factory):
    """Each group's rows as a table of their own, with one lambda."""
    found, folder = {}, tmp_path_factory.mktemp("alone")
    for name, part in pd.read_parquet(table).groupby("group"):
        part.to_parquet(folder / f"{name}.parquet")
        found[name] = run_locally(
            tuning(folder / f"{name}.parquet", lambda_=variable(), held_out_reward="column:held")
        )[1][-1]
    return found


def test_every_group_has_the_optimum_and_the_intervals_that_it_has_alone(solved, alone):
    run, (row,) = solved
    assert run.stop.status is Status.CONVERGED
    assert run.stop.reason.startswith("thin and 1 more: the gradient vanishes at best_params")
    for group, own in alone.items():
        for name in ("config", "gradient", "interval_low", "interval_high"):
            scale = 0.5 if name == "gradient" else 1.0
            assert row[f"{name}/lambda/{group}"] == pytest.approx(
                scale * own[f"{name}/lambda"], rel=1e-6, abs=1e-9
            )
        like = f"interval_low_prompts_like_these/lambda{{}}/{group}"
        assert row[like.format("")] == pytest.approx(own["interval_low_prompts_like_these/lambda"])


def test_the_whole_is_the_average_of_its_groups(solved, alone):
    _, (row,) = solved
    for name in ("upper_loss", "lower_loss", "held_out"):
        assert row[name] == pytest.approx(np.mean([own[name] for own in alone.values()]))
    for name in ("upper_loss_se", "held_out_se"):
        errors = [own[name] for own in alone.values()]
        assert row[name] == pytest.approx(math.hypot(*errors) / 2)
    assert row["ess"] == pytest.approx(4 / sum(1 / own["ess"] for own in alone.values()))


def test_the_objective_over_groups_is_lower_than_with_one_lambda(solved, table):
    one = run_locally(tuning(table, lambda_=variable()))[1][-1]
    assert solved[1][-1]["upper_loss"] < one["upper_loss"]


def test_what_is_left_behind_knows_whose_lambda_is_whose(solved, table, tmp_path):
    problem = tuning(table, held_out_reward="column:held")
    problem.export(solved[0].state, tmp_path)
    parts = pd.read_parquet(tmp_path / "parts.parquet").set_index("name")
    assert parts.loc["thin", "alone/lambda/thin"] == solved[1][-1]["config/lambda/thin"]
    assert math.isnan(parts.loc["thin", "alone/lambda/thick"])
    assert parts.loc["thick 3", "group"] == "thick"
    weights = pd.read_parquet(tmp_path / "weights.parquet").groupby("prompt", observed=True)
    np.testing.assert_allclose(weights["weight"].sum(), 1 / (2 * COUNT))
    curve = pd.read_parquet(tmp_path / "curve.parquet")
    assert set(curve["variable"]) == {"lambda/thin", "lambda/thick"}


def test_prompts_are_shown_along_their_own_groups_lambda(table):
    problem, x = tuning(table), np.array([3.0, 2.0])
    state = problem.init(0)
    along = AlongLambda.of(problem.objective(state), x, 0, 8)
    of = [problem.prompt_list.groups[c] for c in along.prompts]
    assert sorted(set(of)) == ["thick", "thin"]
    own = [{"thin": 3.0, "thick": 2.0}[group] for group in of]
    np.testing.assert_array_equal(along.lambdas[:, AlongLambda.END], own)
    for prompt, rows in zip(along.prompts, along.rows, strict=True):
        assert set(state["pool/prompt"][rows]) == {prompt}


def test_prompts_whose_lambda_is_fixed_are_not_shown_along_it(table):
    some = tuning(table, lambda_={"thin": variable(), "thick": 2.0})
    along = AlongLambda.of(some.objective(some.init(0)), np.array([3.0]), 0, 8)
    assert {some.prompt_list.groups[c] for c in along.prompts} == {"thin"}
    none = tuning(table, lambda_=1.0, weights={"lower": Variable("w", 0.3, 0.0, 2.0)})
    assert AlongLambda.of(none.objective(none.init(0)), np.array([0.3]), 0, 8) is None


def test_a_group_that_cannot_say_is_unknown_while_others_are_known(tmp_path):
    few = pd.concat([rows(THIN, "thin", 1), rows(THICK, "thick", 2, each=8, count=4)])
    few.to_parquet(tmp_path / "few.parquet")
    run, (row,) = run_locally(tuning(tmp_path / "few.parquet"))
    assert run.stop.status is Status.STOPPED
    assert "thin: the gradient vanishes" in run.stop.reason
    assert "thick: a pool of 32 samples can be believed nowhere" in run.stop.reason
    assert "log more samples" in run.stop.reason
    assert row["interval_low/lambda/thin"] < row["config/lambda/thin"]
    assert math.isnan(row["interval_low/lambda/thick"]) and math.isnan(row["upper_loss"])


def test_every_prompt_may_be_a_group_of_its_own(tmp_path):
    """Its curve is its own objective's, as without the others."""
    each = rows(THIN, "thin", 3, each=2000, count=3)
    each["group"] = each["prompt"]
    each.to_parquet(tmp_path / "each.parquet")
    problem = tuning(
        tmp_path / "each.parquet", lambda_={name: variable() for name in each["prompt"].unique()}
    )
    run, (row,) = run_locally(problem)
    assert len(run.state["x"]) == 3
    problem.export(run.state, tmp_path)
    curve = pd.read_parquet(tmp_path / "curve.parquet")
    one = each[each["prompt"] == "thin 1"]
    one.to_parquet(tmp_path / "one.parquet")
    single = tuning(tmp_path / "one.parquet", lambda_=variable())
    alone, _ = run_locally(single)
    objective = single.objective(alone.state)
    for _, point in curve[curve["variable"] == "lambda/thin 1"].iloc[60::30].iterrows():
        value = objective.at(np.array([point["value"]])).exact.value
        assert point["upper_loss"] == pytest.approx(value, rel=1e-9)
    assert row["config/lambda/thin 1"] == pytest.approx(alone.state["x"][0], rel=1e-6)


def test_weights_may_be_by_group_at_a_lambda_that_is_fixed(table):
    weight = Variable("w", 0.3, 0.0, 2.0)
    run, (row,) = run_locally(
        tuning(table, lambda_=1.0, weights={"lower": {"thin": weight, "thick": 0.4}})
    )
    assert run.stop.status is Status.CONVERGED
    assert row["interval_low/w/thin"] < row["config/w/thin"] < row["interval_high/w/thin"]
    assert "config/w/thick" not in row


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lambda_": {"thin": variable()}}, "given for thin, but the prompts' groups are "),
        (
            {"weights": {"lower": dict.fromkeys(("thin", "thick"), Variable("w", 1.0, 0.1, 2.0))}},
            "lambda_ and all weights are free together",
        ),
        (
            {"weights": {"lower": {"thin": 1.0}}},
            "weights.lower is given for thin, but lambda_ for thin, thick; give each for the same",
        ),
        (
            {"lambda_": {"thin": variable(), "thick": 0.0}},
            "lambda_.thick reaches down to 0, but a KL",
        ),
        ({"lambda_": {}}, "lambda_ is empty; give a Variable or a number, or groups"),
        ({"target": {"kl": 0.1}, "upper_reward": None}, "but a target is for all prompts"),
        (
            {"weights": {"lower": {"thin": math.nan, "thick": 1.0}}},
            "weights.lower.thin is nan, but it",
        ),
    ],
    ids=["other groups", "free", "not all", "zero", "none", "target", "nan"],
)
def test_groups_that_do_not_fit_are_refused(table, changes, said):
    with pytest.raises(InputError) as refused:
        tuning(table, **changes).check()
    assert said in str(refused.value)


def test_groups_are_asked_for_in_the_table_of_prompts(table, tmp_path):
    pd.read_parquet(table).drop(columns="group").to_parquet(tmp_path / "without.parquet")
    with pytest.raises(InputError, match=r"groups are asked for, but .* has no column 'group'"):
        tuning(tmp_path / "without.parquet")


def test_a_group_whose_values_are_fixed_has_no_optimum_of_f_to_look_for(table):
    of = {"thin": variable(), "thick": 2.0}
    run, (row,) = run_locally(tuning(table, lambda_=of, gamma=100.0))
    assert run.stop.status is Status.CONVERGED
    assert run.stop.reason.endswith("; thick: nothing is tuned, and every health gate passes")
    assert row["interval_low/lambda/thin"] < row["unpenalised/lambda/thin"]
    assert "unpenalised/lambda/thick" not in row


def test_groups_may_be_numbers(table, tmp_path):
    frame = pd.read_parquet(table)
    frame["group"] = (frame["group"] == "thick").astype(int)
    frame.to_parquet(tmp_path / "t.parquet")
    given = tuning(tmp_path / "t.parquet", lambda_={0: variable(), 1: 2.0}).lambda_
    assert list(given) == ["0", "1"]


def test_a_list_of_prompts_has_no_groups():
    with pytest.raises(InputError, match="groups are asked for, but prompts has no column 'group'"):
        RewardTuning(
            model="digits", prompts=("a", "b"), lower_reward="ink", upper_reward="ink",
            lambda_={"a": variable(), "b": 1.0},
        )  # fmt: skip
