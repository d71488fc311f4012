"""Why a reward run ends, and what it then says."""

import math

import numpy as np
import pytest
import torch
from reward_toys import LAMBDA, solve
from toys import first

from raybilevel import Variable
from raybilevel.problems.base import Status
from raybilevel.problems.reward import pool_solver
from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.convergence import StopReason, samples_needed, solve_round
from raybilevel.problems.reward.history import row
from raybilevel.problems.reward.pool_objective import PoolObjective
from raybilevel.problems.reward.pool_plan import PoolPlan
from raybilevel.testing.oracles import ORACLES
from raybilevel.upper.optimisers.newton import Termination


def constant(samples):
    return torch.ones(len(samples))


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


def test_where_lambda_is_fixed_no_bound_of_it_is_to_be_moved():
    weight = {"lower": Variable("w", 1.0, 0.5, 2.0)}
    run, _ = solve(lambda_=1.0, weights=weight, pool_size=200, max_pool_size=200, shard_size=100)
    assert run.stop.reason.endswith("raise lambda_")


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
    assert "; more samples will not help: check that the upper reward" in run.stop.reason


@pytest.mark.parametrize("reason", StopReason)
def test_every_reason_to_stop_but_an_optimum_names_a_remedy(reason):
    status, text = reason.value
    assert status in Status
    if status is not Status.CONVERGED:
        assert any(verb in text for verb in ("raise", "move", "look", "check", "narrow"))


def test_while_a_pool_may_grow_an_optimum_at_which_gates_fail_is_shown_without_numbers():
    (mixture,) = (oracle for oracle in ORACLES if oracle.name.startswith("mixture"))
    pool = mixture.draw(np.random.default_rng(0), 4096)
    objective = PoolObjective(pool, Coefficients((mixture.lambda_, *mixture.base[1:])))

    def plan(limit):
        return PoolPlan.of(size=4096, limit=limit, round_size=4096, shard_size=64)

    shown, goes_on = solve_round(objective, plan(65_536))
    ended, stop = solve_round(objective, plan(4096))
    assert goes_on is None
    assert shown.termination is Termination.INTERIOR
    assert not shown.point.diagnostics.ok
    assert 4096 < samples_needed(shown, StopReason.FRONTIER) <= 65_536
    assert math.isnan(row(shown, None)["upper_loss"])
    assert row(shown, None)[f"config/{mixture.lambda_.name}"] == shown.x[0]
    assert stop is not None
    assert ended.point.diagnostics.ok
    assert ended.evaluations > 2 * shown.evaluations
    whole = pool_solver.solve(objective)  # which goes on from what was shown, and does it not again
    assert (ended.x, ended.evaluations, ended.ahead) == (whole.x, whole.evaluations, whole.ahead)
