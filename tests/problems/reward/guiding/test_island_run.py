"""Runs on guided paths that are resampled in islands; the law is that of test_guided_run.py."""

import numpy as np
import pytest
import torch
from guided_toys import (
    STEPS,
    assert_six_nats_from_p0,
    assert_two_weights_inside,
    gaussian_tuning,
    two_weights,
)

from raybilevel import RunConfig
from raybilevel.problems.base import Output, Status
from raybilevel.problems.reward.annealing.rungs import begin, columns_of_p0
from raybilevel.problems.reward.drawing.island_rows import shards_of
from raybilevel.problems.reward.guiding.island_ladder import IslandLadder, next_islands
from raybilevel.runtime.rounds import run_locally
from raybilevel.testing.gaussian_pipeline import pixel
from raybilevel.upper.prompts import Prompts


def tuning(**changes):
    given = {"estimator": "guided", "guided_resampling": True, "pool_size": 512}
    return gaussian_tuning(**given | changes)


@pytest.fixture(scope="module")
def resampled():
    return run_locally(tuning(), RunConfig(seed=1))


def test_an_optimum_six_nats_from_p0_is_inside_its_interval(resampled):
    run, rows = resampled
    assert_six_nats_from_p0(run, rows, width=0.3, rel=0.1)
    assert "ess" not in rows[-1]  # rows depend on each other


def test_the_history_says_how_many_ancestors_islands_have_left(resampled):
    run, rows = resampled
    each = len(run.state["pool/seed"][run.state["pool/rung"] == 1]) // 16
    assert 1 < rows[-1]["distinct_ancestors"] < each


def test_evaluations_are_those_of_p0_the_pilot_the_rungs_and_what_is_shown(resampled):
    run, rows = resampled
    rung, path = run.state["pool/rung"], run.state["pool/path"]
    assert (path[rung == 0] == -1).all()
    assert (path[rung > 0] >= 0).all()
    of_rungs = (np.sum(rung == 0) + 3 * (256 + np.sum(rung > 0))) * STEPS
    shown = rows[-1]["nfe_total"] - of_rungs
    assert 0 < shown <= (64 + 3 * np.sum(rung > 0)) * STEPS


def test_samples_of_p_x_come_from_their_islands(resampled):
    state = resampled[0].state
    before, after = (pixel(torch.tensor(state[f"samples_{n}"])) for n in ("before", "after"))
    assert abs(float(before.mean())) < 1
    assert float(after.mean()) == pytest.approx(2.5, abs=0.7)
    drawn = pixel(tuning().samples(state, 16, 0, "cpu")).numpy()
    known = state["pool/lower.lower"].astype(np.float32)
    assert np.isin(drawn, known).all()


def test_two_weights_are_found_along_one_gradient():
    problem = two_weights(estimator="guided", guided_resampling=True)
    run, rows = run_locally(problem, RunConfig(seed=0))
    assert_two_weights_inside(run, rows)
    (before, after), on_rung = (row["nfe_total"] for row in rows[-3:-1]), run.state["pool/rung"]
    assert after - before == 3 * 10 * np.sum(on_rung == on_rung.max() - 1)


def test_prompts_that_have_arrived_wait_and_islands_are_drawn_again_as_they_were():
    """Of two prompts, the fourth and the eighth of a list, the second has arrived."""
    rng, plan = np.random.default_rng(0), IslandLadder(4, 1, 16, each=8, evaluations=3)
    lower, of = rng.normal(size=(128, 1)), np.repeat([0, 1], 64)
    rows = {"pool/seed": np.arange(128), "pool/prompt": np.array([3, 7])[of]}
    empty = {"pool/seed": np.empty(0, np.int64), "pool/prompt": np.empty(0, np.int64)}
    state = columns_of_p0(empty, rows, plan) | begin(plan, 2, 1)
    state |= {"pool/lower.a": lower[:, 0], "pool/path": np.full(128, -1)}
    state |= {"pool/ancestor": np.full(128, -1), "rungs_heading": np.array([[1.0], [0.0]])}
    state |= {"seed_base": np.array(5), "guided_taus": np.ones(2)}
    round_ = next_islands(state, plan, Prompts(of, np.array([0.5, 0.5])), lower)
    shards = next(round_).shards
    assert [shard.paths.prompts for shard in shards] == [(3,) * 16] * 2
    count = 32
    found = {
        "pool/seed": np.concatenate([shard.paths.seeds for shard in shards]),
        "pool/prompt": np.full(count, 3), "pool/lower.a": rng.normal(size=count),
        "pool/path": rng.integers(8, size=count), "pool/ancestor": rng.integers(8, size=count),
        "log_z": np.repeat([0.1, 0.2, 0.3, 0.4], 8),
    }  # fmt: skip
    with pytest.raises(StopIteration) as ended:
        round_.send(Output({}, found))
    after = ended.value.value
    assert after["rungs_log_z"][1].tolist() == [[0.1, 0.2, 0.3, 0.4], [0.0] * 4]
    assert after["rungs_scale"][1, 0] > 0 == after["rungs_scale"][1, 1]
    assert after["pool/island"][128:].tolist() == np.repeat(np.arange(4), 8).tolist()

    asked = np.array([0, 128 + 3, 128 + 9, 128 + 17, 128 + 3])
    parts = list(shards_of(after, asked, plan.shard_size))
    assert [part.tolist() for part, *_ in parts] == [[0], [131, 137], [145], [131]]
    assert [drawn for _, drawn, _ in parts] == [None, *shards, shards[0]]
    path = found["pool/path"]
    assert parts[1][2].tolist() == [path[3], 8 + path[9]]


def test_a_gradient_that_is_not_finite_ends_the_run_whichever_reward_has_none():
    def lost_later(images):
        u = pixel(images)
        return u + torch.where(u > 2.0, (u * 0).abs().sqrt(), torch.zeros_like(u))

    run, _ = run_locally(tuning(lower_reward=lost_later), RunConfig(seed=0))
    assert run.stop.status is Status.STOPPED
    assert "the gradient of reward 'lower.lower' is not finite for" in run.stop.reason


def test_prompts_have_islands_of_eight_paths_at_least():
    plan = IslandLadder.of_paths(16, 4096, 64, prompts=10, evaluations=3)
    assert (plan.islands, plan.each) == (16, 8)
    assert IslandLadder.of_paths(16, 4096, 64, prompts=1, evaluations=3).each == 85
    assert IslandLadder.of_paths(16, 60, 64, prompts=30, evaluations=5).each == 8
