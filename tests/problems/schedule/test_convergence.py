import numpy as np

from raybilevel import Variable
from raybilevel.problems.base import Status
from raybilevel.problems.schedule.convergence import why_stop

VARIABLES = [Variable("a", 0.5, 0, 1), Variable("b", 0.5, 0, 1)]


def stop(slopes, u=(0.5, 0.5), updates=15):
    """After updates whose gradients are `slopes` (2,) and noise of unit size."""
    noise = np.random.default_rng(0).standard_normal((updates, 2))
    return why_stop(VARIABLES, np.array(u), np.array(slopes) + noise)


def test_gradients_that_are_noise_have_converged():
    found = stop((0, 0))
    assert found.status is Status.CONVERGED
    assert "of the last 8 of 15 updates cannot be told from zero" in found.reason


def test_a_gradient_that_stands_out_wants_more_updates():
    found = stop((0, 30))
    assert found.status is Status.BUDGET
    assert found.reason.endswith("is not zero; give more in a new run")


def test_a_gradient_that_points_out_of_the_box_is_said_with_its_variable():
    found = stop((30, 0), u=(0.0, 0.5))
    assert found.status is Status.AT_BOUND
    assert "at the bound of a, where" in found.reason


def test_at_a_bound_that_holds_nothing_back_it_has_converged():
    assert stop((-0.1, 0.1), u=(0.0, 1.0)).status is Status.CONVERGED


def test_a_gradient_that_leads_away_from_a_bound_wants_more_updates():
    assert stop((-30, 0), u=(0.0, 0.5)).status is Status.BUDGET


def test_updates_too_few_to_tell_say_so():
    found = stop((0, 0), updates=3)
    assert found.status is Status.BUDGET
    assert "too few to tell" in found.reason
