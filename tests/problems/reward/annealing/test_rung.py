"""The next rung: nothing of it follows from samples that say what Z is there."""

import numpy as np
import pytest

from raybilevel.problems.reward.annealing.plan import LadderPlan
from raybilevel.problems.reward.annealing.rung import next_rung
from raybilevel.problems.reward.annealing.rung_samples import RungSamples
from raybilevel.upper.prompts import Prompts

PLAN = LadderPlan(islands=16, chains=2, shard_size=8)
SCALE = 0.3
EACH = 40  # samples of an island, of either rung


@pytest.fixture
def ladder():
    """p0, and a rung at 0.3 of one prompt, of a standard normal reward: state, prompts, rewards."""
    rng = np.random.default_rng(0)
    n = PLAN.islands * EACH
    lower = np.concatenate([rng.normal(0.0, 1.0, n), rng.normal(SCALE, 1.0, n)])[:, None]
    by_island = (1, 1, PLAN.islands)
    state = {
        "seed_base": np.array(7),
        "pool/rung": np.repeat([0, 1], n),
        "pool/island": np.tile(np.arange(PLAN.islands), 2 * EACH),
        "rungs_scale": np.array([[[0.0]], [[SCALE]]]),
        "rungs_log_z": rng.normal(0.0, 0.1, (2, 1, PLAN.islands)),
        "rungs_rho": np.full(by_island, 0.8),
        "rungs_tilt_sd": np.full(by_island, SCALE),
        "rungs_acceptance": rng.uniform(0.3, 0.6, by_island),
        "rungs_heading": np.array([[5.0]]),
        "rungs_times": np.array(1),
    }
    return state, Prompts(np.zeros(2 * n, np.int64), np.ones(1)), lower


def test_how_far_it_is_does_not_follow_from_the_last_rungs_samples(ladder):
    state, prompts, lower = ladder
    rung = next_rung(state, PLAN, prompts, lower)
    # of a normal reward nine tenths are effective at exp(-step^2) = 0.9
    assert rung.scales[0, 0] - SCALE == pytest.approx(np.sqrt(-np.log(0.9)), rel=0.2)
    last = state["pool/rung"] == 1
    wider = np.where(last[:, None], 1.1 * lower, lower)
    assert next_rung(state, PLAN, prompts, wider).scales == rung.scales
    tail = np.where(last[:, None], lower, 1.1 * lower)
    assert next_rung(state, PLAN, prompts, tail).scales != rung.scales


def test_but_it_is_no_farther_than_these_samples_bear(ladder):
    state, prompts, lower = ladder
    far = next_rung(state, PLAN, prompts, lower).scales
    lower = lower.copy()
    lower[-1] = 60.0  # one that would weigh all
    assert next_rung(state, PLAN, prompts, lower).scales < 0.5 * (far + SCALE)


def test_an_island_moves_as_the_others_were_accepted_and_as_their_rewards_spread(ladder):
    state, prompts, lower = ladder
    rhos = next_rung(state, PLAN, prompts, lower).rhos[0]
    accepted = state["rungs_acceptance"].copy()
    accepted[0, 0, 3] = 0.0
    changed = next_rung(state | {"rungs_acceptance": accepted}, PLAN, prompts, lower).rhos[0]
    own = np.arange(PLAN.islands) == 3
    assert np.array_equal(changed == rhos, own)
    spread = (state["pool/rung"] == 1) & (state["pool/island"] == 3)
    wider = np.where(spread[:, None], 1.05 * lower, lower)
    changed = next_rung(state, PLAN, prompts, wider).rhos[0]
    assert changed[3] == pytest.approx(rhos[3], rel=1e-12)
    assert (np.abs(changed - rhos)[~own] > 1e-6).all()


def test_spreads_of_the_others_are_those_without_an_island(ladder):
    state, prompts, lower = ladder
    last = RungSamples.last_of(state, prompts, lower)
    tilt, log_weights = 2.0 * last.lower[:, 0], 0.4 * last.lower[:, 0]
    found = last.sds_of_others(tilt, log_weights)
    for island in range(PLAN.islands):
        keep = last.islands.of != island
        z = state["rungs_log_z"][1, 0][last.islands.of[keep]]
        w = np.exp(log_weights[keep] + z)
        mean = np.average(tilt[keep], weights=w)
        sd = np.sqrt(np.average((tilt[keep] - mean) ** 2, weights=w))
        assert found[0, island] == pytest.approx(sd)


def test_the_rung_before_is_each_prompts_own():
    of = np.array([0, 0, 0, 1, 1, 2])
    rungs = np.array([0, 2, 3, 0, 3, 0])
    state = {
        "pool/rung": rungs,
        "pool/island": of * 2 + np.array([0, 1, 0, 1, 0, 1]),
        "rungs_scale": np.arange(12.0).reshape(4, 3, 1),
        "rungs_log_z": np.zeros((4, 3, 2)),
    }
    prompts = Prompts(of, np.full(3, 1 / 3))
    lower = np.zeros((6, 1))
    assert RungSamples.before(state, prompts, lower).numbers.tolist() == [2, 0, 0]
    assert RungSamples.last_of(state, prompts, lower).numbers.tolist() == [3, 3, 0]
    assert RungSamples.last_of(state, prompts, lower).rows.tolist() == [2, 4, 5]
    assert RungSamples.last_of(state, prompts, lower).scales.ravel().tolist() == [9.0, 10.0, 2.0]
