"""What groups and single prompts say: each is what it would be without the others."""

import math

import numpy as np
import pandas as pd
import pytest

from raybilevel import Variable
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.convergence import samples_wanted
from raybilevel.problems.reward.parts import write_parts
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_solver import PoolSolver, searched
from raybilevel.testing.prompted_oracles import PROMPTED_ORACLES
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts

X = np.array([3.0])
COEFFICIENTS = Coefficients((Variable("lambda", 3.0, 0.2, 30.0, "log"), 1.0))


@pytest.fixture(scope="module")
def whole():
    """Forty prompts of 256, and one of 20,000, in no order."""
    rng = np.random.default_rng(0)
    pool, prompts = PROMPTED_ORACLES[2].chosen(rng, 40).draw(rng, 256)
    more, _ = PROMPTED_ORACLES[2].chosen(rng, 1).draw(rng, 20000)
    of = np.append(prompts.of, np.full(20000, 40))
    order = rng.permutation(len(of))
    upper = np.append(pool.upper, more.upper)[order]
    lower = np.append(pool.lower, more.lower, axis=0)[order]
    shares = np.append(np.full(40, 0.5 / 40), 0.5)
    return PoolObjective(Pool(upper, lower), COEFFICIENTS, prompts=Prompts(of[order], shares))


@pytest.fixture(scope="module")
def table(whole, tmp_path_factory):
    groups = ["even" if c % 2 == 0 else "odd" for c in range(40)] + ["large"]
    metadata = [{"group": group} for group in groups]
    names = PromptList.of([f"prompt {c}" for c in range(41)], metadata)
    folder = tmp_path_factory.mktemp("parts")
    write_parts(whole, X, names, 2 * whole.pool.upper, folder)
    return pd.read_parquet(folder / "parts.parquet")


def test_groups_come_first_and_then_every_prompt(table):
    assert table["name"].head(4).tolist() == ["even", "odd", "large", "prompt 0"]
    assert table["kind"].value_counts().to_dict() == {"prompt": 41, "group": 3}
    assert table["prompts"].head(3).tolist() == [20, 20, 1]
    assert table["samples"].head(3).tolist() == [5120, 5120, 20000]


def test_a_group_is_what_it_would_be_without_the_others(whole, table):
    rows = np.flatnonzero(whole.prompts.of % 2 == 1)
    pool = Pool(whole.pool.upper[rows], whole.pool.lower[rows])
    of = whole.prompts.of[rows] // 2
    alone = PoolObjective(pool, COEFFICIENTS, prompts=Prompts(of, np.full(20, 0.05)))
    row = table.iloc[1]
    assert row["reward"] == pytest.approx(-alone.at(X).exact.value, rel=1e-12)
    assert row["held_out"] == pytest.approx(2 * row["reward"], rel=1e-12)
    assert row["held_out_se"] == pytest.approx(2 * row["reward_se"], rel=1e-12)
    assert row["kl"] == pytest.approx(alone.at(X).exact.tilts[0].kl, rel=1e-12)
    solution = PoolSolver(alone).solve()
    found = [row[f"alone{end}/lambda"] for end in ("", "_low", "_high")]
    np.testing.assert_allclose(found, [solution.x[0], *np.concatenate(solution.bounds)], rtol=1e-9)


def test_what_a_prompt_cannot_say_is_unknown_and_how_many_samples_it_would_take(table):
    few, many = (table.set_index("name").loc[f"prompt {c}"] for c in (0, 40))
    assert not few["healthy"] and math.isnan(few["alone/lambda"])
    assert few["samples_needed"] > 400
    assert many["healthy"] and many["alone_low/lambda"] < many["alone/lambda"]
    assert math.isnan(many["samples_needed"])


def test_how_many_samples_a_part_wants_is_asked_of_its_optimum():
    """Not of the edge of what can be believed: there one sample more is always said to do."""
    lower = np.random.default_rng(0).normal(size=1400)
    seen, unseen = (
        searched(PoolObjective(Pool(upper, lower[:, None]), COEFFICIENTS))
        for upper in (-((lower - 1) ** 2), lower)
    )
    assert seen.ahead is not None and 2 * 1400 < samples_wanted(seen) < 100_000
    assert unseen.refused is not None and math.isnan(samples_wanted(unseen))
