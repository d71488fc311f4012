"""Which seeds a pool holds, and how it grows."""

import numpy as np
from reward_toys import solve, tuning

from raybilevel.problems.reward.pool_plan import PoolPlan, grown
from raybilevel.problems.reward.shards import DrawRewards


def test_the_seeds_of_a_pool_are_all_different():
    run, _ = solve(seed=3)
    seeds = run.state["pool/seed"]
    assert len(np.unique(seeds)) == len(seeds) >= 8192
    assert 0 <= seeds.min() <= seeds.max() < 2**32


def test_two_runs_draw_other_samples():
    one, other = tuning().init(0), tuning().init(1)
    assert one["seed_base"] != other["seed_base"]


def test_a_stage_covers_the_rounds_samples_once():
    problem = tuning(pool_size=1000, shard_size=64, round_size=256)
    stage = problem.pool_plan.draw(problem.init(0))
    seeds = [seed for shard in stage.shards for seed in shard.seeds]
    assert [len(shard.seeds) for shard in stage.shards] == [64] * 4
    assert all(isinstance(shard, DrawRewards) for shard in stage.shards)
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


def test_a_pool_grows_by_half_in_whole_shards_or_prompts_whatever_a_round_is():
    plan = PoolPlan.of(size=100, limit=400, round_size=1000, shard_size=16)
    assert [plan.after(have) for have in (0, 100, 148, 212, 308, 400)] == [
        100, 148, 212, 308, 400, 400,
    ]  # fmt: skip
    prompted = PoolPlan.of(size=20, limit=100, round_size=8, shard_size=16, prompts=5)
    assert [prompted.after(have) for have in (0, 10, 20, 30)] == [10, 20, 30, 45]


def test_a_pool_at_its_limit_draws_nothing_more():
    plan = PoolPlan.of(size=100, limit=150, round_size=40, shard_size=16)
    state = {"pool/seed": np.arange(150), "seed_base": np.array(0)}
    assert (plan.round_size, plan.rounds(0), plan.rounds(100)) == (48, 3, 5)
    assert plan.draw(state).shards == ()


def test_a_pool_that_had_a_lower_limit_before_has_rounds_left_to_a_higher_one():
    before, after = (PoolPlan.of(100, limit, 1000, 16) for limit in (160, 200))
    assert (before.rounds(160), before.after(148)) == (3, 160)  # as (100, 148, 160)
    assert (after.rounds(160), after.after(160)) == (4, 200)


def test_a_grown_pool_leaves_the_state_that_it_grew_from():
    state = {"x": np.zeros(1), "pool/seed": np.arange(2)}
    assert grown(state, {"pool/seed": np.arange(2, 5)})["pool/seed"].tolist() == [0, 1, 2, 3, 4]
    assert state["pool/seed"].tolist() == [0, 1]
    assert grown(state, {}).keys() == state.keys()


def test_what_rows_of_another_kind_have_is_unknown_of_new_ones():
    kinds = {"rung": np.zeros(1, np.int64), "rho": np.ones(1), "accepted": np.ones(1, bool)}
    state = {"pool/seed": np.arange(1), **{f"pool/{name}": a for name, a in kinds.items()}}
    found = grown(state, {"pool/seed": np.arange(2)})
    assert found["pool/rung"].tolist() == [0, -1, -1]
    assert np.isnan(found["pool/rho"][1:]).all()
    assert found["pool/accepted"].tolist() == [True, False, False]
    assert all(found[name].dtype == a.dtype for name, a in state.items())
