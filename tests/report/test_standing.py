"""How methods stand, on frames made by hand."""

import numpy as np
import pandas as pd
import pytest

from raybilevel.report.standing import regrets, standings


def frame(method, seed, nfe, score):
    size = len(nfe)
    return pd.DataFrame(
        {
            "method": method, "seed": seed, "nfe_total": nfe, "score": score, "failed": 0,
            "worker_seconds_total": np.arange(size) + 1.0, "time_total_s": np.arange(size) + 2.0,
            "upper_evaluations": np.arange(size) + 1,
        }
    )  # fmt: skip


SCORES = pd.concat(
    [
        frame("default", 0, [5], [3.0]), frame("default", 1, [5], [3.2]),
        frame("bilevel", 0, [10, 20], [2.0, 1.0]), frame("bilevel", 1, [10, 20], [2.0, 1.1]),
        frame("random", 0, [30, 90], [2.5, 0.9]), frame("random", 1, [30, 60], [2.5, 1.2]),
    ],
    ignore_index=True,
)  # fmt: skip
TABLE = standings(SCORES, SCORES).set_index("method")


def test_the_best_mean_comes_first_and_differences_are_paired_over_seeds():
    assert TABLE.index.tolist() == ["bilevel", "random", "default"]
    assert TABLE.loc["random", "score"] == pytest.approx(1.05)
    assert TABLE.loc["random", "gap"] == pytest.approx(np.mean([1.0 - 0.9, 1.1 - 1.2]))
    low, high = TABLE.loc["random", ["gap_low", "gap_high"]]
    assert low == pytest.approx(-0.1)
    assert high == pytest.approx(0.1)
    assert TABLE.loc["bilevel", "gap"] == 0


def test_costs_are_of_everything_and_to_the_bilevel_methods_level():
    assert TABLE.loc["random", "nfe_total"] == 75
    assert TABLE.loc["bilevel", "nfe_to_level"] == 20
    assert TABLE.loc["random", "reached"] == 1  # with seed 0 alone
    assert np.isinf(TABLE.loc["random", "nfe_to_level"])
    assert TABLE.loc["default", "reached"] == 0
    assert TABLE.loc["default", "bilevel_nfe"] == 10  # what it had spent when it was as good
    assert TABLE.loc["random", "bilevel_reached"] == 1
    assert np.isinf(TABLE.loc["random", "bilevel_nfe"])


def test_one_seed_has_no_interval():
    alone = SCORES[SCORES["seed"] == 0]
    assert np.isnan(standings(alone, alone)["score_low"]).all()


def test_a_regret_is_of_the_way_from_the_initial_to_the_best_and_counts_where_it_stays():
    costs = regrets(SCORES).set_index(["method", "seed"])["nfe"]
    assert costs["random", 0] == 90
    assert np.isinf(costs["bilevel", 0])  # 1.0 is above 0.9 + 1 % of 2.2
    back = pd.concat([SCORES, frame("wander", 0, [1, 2, 3], [0.9, 3.0, 0.9])])
    assert regrets(back).set_index("method").loc["wander", "nfe"] == 3


def test_a_method_without_a_result_for_a_seed_never_reached_it():
    half = SCORES[(SCORES["method"] != "random") | (SCORES["seed"] == 0)]
    table = standings(SCORES, half).set_index("method")
    assert table.loc["random", "reached"] == 1
    assert table.loc["random", "seeds"] == 1
    none = standings(SCORES, SCORES[SCORES["method"] != "random"]).set_index("method")
    assert np.isnan(none.loc["random", "score"])
    assert none.loc["random", "nfe_total"] == 75


def test_a_search_that_begins_anew_on_a_larger_pool_is_judged_by_what_it_ended_with():
    pools = frame("pool-tpe", 0, [40, 40, 80, 80, 80], [2.0, 0.9, 3.0, 0.9, 0.9])
    pools["upper_evaluations"] = [1, 2, 1, 2, 3]
    found = regrets(pd.concat([SCORES, pools])).set_index("method").loc["pool-tpe"]
    assert found["nfe"] == 40
    assert found["upper_evaluations"] == 2
