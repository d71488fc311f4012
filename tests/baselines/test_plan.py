"""What a comparison refuses before it starts anything."""

import sys

import numpy as np
import pytest
from comparisons import comparison
from reward_toys import MOVING, REWARD
from schedule_toys import learning, save_pipeline, tuning
from toys import first

from raybilevel import RewardTuning, Variable, config_file
from raybilevel.baselines.config import CompareConfig
from raybilevel.baselines.plan import Plan
from raybilevel.errors import InputError


def plan(problem=REWARD, **changes):
    settings = {"searches": ("random",), "trials": 8} | changes
    return Plan(problem, CompareConfig(**settings), 5)


def test_budgets_are_in_trials_or_in_nfe():
    assert plan().budget == 800
    assert plan(trials=None, budget=899).trials == 8


def test_the_bilevel_method_comes_first_and_every_method_once():
    assert plan(searches=("tpe", "random", "tpe")).methods == ("bilevel", "tpe", "random")
    assert list(plan(seeds=3).seeds) == [5, 6, 7]


def test_a_grid_takes_as_many_points_as_the_budget_holds():
    weights = {"a": Variable("wa", 0.1, -1, 1), "b": Variable("wb", 0.1, -1, 1)}
    two = REWARD.model_copy(
        update={"lambda_": 1.0, "lower_reward": {"a": first, "b": first}, "weights": weights}
    )
    assert plan(trials=8).grid_points("grid") == 8
    assert plan(two, trials=27).grid_points("grid") == 5
    assert plan(trials=8).grid_points("pool-grid") == 300
    assert plan(two, trials=8).grid_points("pool-grid") == 17


def test_the_bilevel_method_may_have_arguments_of_its_own():
    own = {"training": {"rounds": 12}, "optimizer": {"directions": 1}}
    made = plan(learning(), searches=("asha",), bilevel=own)
    made.check()
    assert (made.problem.training.rounds, made.followed.training.rounds) == (8, 12)
    assert (made.problem.optimizer.directions, made.followed.optimizer.directions) == (2, 1)
    assert made.followed.training.warmup == made.problem.training.warmup  # the rest of the group
    assert made.cost == learning().evaluation_cost()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bilevel": {"patience": 3}}, "RewardTuning.patience is not known"),
        ({"bilevel": {"lambda_": 2.0}}, r"variables of its own \(\[\]\), but it must tune what"),
        ({"bilevel": {"shard_size": 0}}, "RewardTuning.shard_size is 0"),
        ({"searches": ("sweep",)}, "compare.searches has 'sweep'; the known are default, grid, ra"),
        ({"trials": None}, "compare needs either trials"),
        ({"budget": 900}, "compare needs either trials"),
        ({"seeds": 0}, "CompareConfig.seeds is 0"),
        (
            {"trials": None, "budget": 99},
            "compare.budget is 99 NFE, but one trial of 'random' needs 100; give at least that",
        ),
        (
            {"searches": ("grid",), "grid_points": 9},
            "a grid of 9 points along each of 1 variables has 9 points, but .* holds 8 trials",
        ),
        ({"searches": ("grid",), "trials": 1}, "a grid of 2 points .* budget holds 1 trials"),
        (
            {"searches": ("pool-tpe",), "trials": None, "budget": 15},
            "a pool of 'pool-tpe' needs 16",
        ),
        (
            {"searches": ("pool-grid",), "evaluations": 1},
            "a grid of 1 points along each of 1 variables is none; give compare.grid_points",
        ),
        ({"searches": ("asha",)}, "'asha', which lives on results before a trial's end, but"),
        ({"searches": ("pbt",)}, "'pbt', which lives on results before a trial's end, but"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_bad_input_is_one_sentence(changes, said):
    with pytest.raises(InputError, match=said) as error:
        plan(**changes).check()
    assert "\n" not in str(error.value)


def test_a_search_whose_package_is_missing_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"'tpe', which needs optuna: pip install 'raybilevel\[b"):
        plan(searches=("tpe",)).check()


def test_a_pool_is_the_reward_problems_alone(tmp_path):
    with pytest.raises(InputError, match="'pool-grid', but only the reward problem has a pool"):
        plan(tuning(save_pipeline(tmp_path / "model")), searches=("pool-grid",)).check()


def test_searches_that_live_on_early_results_are_for_trainings():
    plan(learning(), searches=("asha", "pbt", "pb2")).check()


def test_a_comparison_takes_one_look_at_what_moves_for_all_methods_and_keeps_it(tmp_path):
    begun = comparison(MOVING, tmp_path, searches=("random",)).pinned()
    found = begun.config.problem.found
    assert begun.plan.problem.found == begun.plan.followed.found == found
    begun.directory.write("config.yaml", config_file.dump(begun.config).encode())
    assert MOVING.pinned().found > found
    again = comparison(MOVING, tmp_path, searches=("random",)).pinned()
    assert again.config.problem.found == found


@pytest.fixture
def table(tmp_path):
    """The problem on a table of eight samples of two prompts."""
    path = tmp_path / "rewards.csv"
    path.write_text("prompt,low,up\n" + "a,1,2\nb,2,1\n" * 4)
    return RewardTuning(pool=str(path), lower_reward="column:low", upper_reward="column:up")


def on(table, **changes):
    return Plan(table, CompareConfig(**({"searches": ("pool-tpe",)} | changes)), 5)


def test_on_a_table_methods_see_one_half_and_are_scored_on_the_other(table):
    made = on(table, searches=("default", "pool-grid", "pool-tpe"))
    made.check()
    seen, unseen = made.problem.init(0), made.scoring([{"x": np.ones(1)}]).init(0)
    assert made.followed.init(0)["pool/row"].tolist() == seen["pool/row"].tolist()
    assert sorted([*seen["pool/row"], *unseen["pool/row"]]) == list(range(8))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"trials": 3},
            r"compare.trials is given, but what is asked of pool '.*' costs nothing; l",
        ),
        (
            {"budget": 3},
            r"compare.budget is given, but what is asked of pool '.*' costs nothing; l",
        ),
        (
            {"bilevel": {"pool_half": "second"}},
            "compare.bilevel has pool_half, but all methods see the same half of pool '",
        ),
        (
            {"searches": ("tpe",)},
            "has 'tpe', whose trials draw samples, but pool '.*' is there alr",
        ),
        (
            {"searches": ("pool-grid",), "evaluations": 1},
            "a grid of 1 points along each of 1 varia",
        ),
    ],
)
def test_what_makes_no_sense_on_a_table_is_one_sentence(table, changes, said):
    with pytest.raises(InputError, match=said):
        on(table, **changes).check()


def test_a_half_of_a_table_is_not_halved_again(table):
    with pytest.raises(
        InputError, match="pool_half is given, but a comparison tunes on one half a"
    ):
        on(table.but(pool_half="second")).check()


def test_a_table_with_too_few_rows_for_two_halves_is_refused(table, tmp_path):
    (tmp_path / "rewards.csv").write_text("prompt,low,up\na,1,2\na,2,1\n")
    with pytest.raises(
        InputError, match="has 2 samples of 'a'; give 4 at least of each prompt: two"
    ):
        on(table.but()).check()
