import numpy as np

from raybilevel import Variable
from raybilevel.problems.base import Status
from raybilevel.problems.schedule_stop import why_stop

VARIABLES = [Variable("a", 0.5, 0, 1), Variable("b", 0.5, 0, 1)]
FLAT = np.array([4.0, 3.0, 2.0, 2.0, 2.0, 2.0])


def stop(u=(0.5, 0.5), gradient=(0.1, 0.1), se=(1.0, 1.0), losses=FLAT):
    return why_stop(VARIABLES, np.array(u), np.array(gradient), np.array(se), np.array(losses))


def test_an_objective_that_no_longer_falls_has_converged():
    assert stop().status is Status.CONVERGED


def test_an_objective_that_still_falls_wants_more_updates():
    found = stop(losses=[4.0, 3.0, 2.5, 2.2, 2.1, 2.0])
    assert found.status is Status.BUDGET
    assert "(the last third brought 10% of its fall); give more updates" in found.reason


def test_a_gradient_that_points_out_of_the_box_is_said_with_its_variable():
    found = stop(u=(0.0, 1.0), gradient=(5.0, 5.0))
    assert found.status is Status.AT_BOUND
    assert "at the bound of a, where" in found.reason


def test_a_gradient_within_its_error_does_not_count_at_a_bound():
    assert stop(u=(0.0, 1.0), gradient=(2.0, -2.0)).status is Status.CONVERGED


def test_an_objective_that_never_fell_has_converged_where_it_began():
    assert stop(losses=[2.0, 2.1, 2.2]).status is Status.CONVERGED
