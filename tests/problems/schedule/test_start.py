"""Successive halving of where the search may begin, on an objective that is known."""

import numpy as np

from raybilevel.problems.schedule.real_images.objective import Kid
from raybilevel.problems.schedule.start import LOOKS, Contenders, Starts

VALUES = [5.0, 3.0, 4.0, 1.0, 2.0, 6.0, 7.0]  # of each start
STARTS = Starts([np.array([x]) for x in VALUES], stock=3)


def looked(contenders, noise=0.0):
    """A look of two chunks a start, which are `noise` above and below its value."""
    values = [value + sign * noise for (value,) in contenders.points for sign in (1, -1)]
    rows = {"count": np.full(len(values), 4.0), "sum": 4.0 * np.array(values)}
    return contenders.looked(Kid(), rows)


def test_the_best_is_left_and_the_best_stock_spacing_is_remembered():
    contenders = Contenders.all_of(STARTS)
    sizes = []
    for rung in range(LOOKS):
        contenders = contenders.halved() if rung else contenders
        sizes.append(len(contenders.left))
        contenders = looked(contenders, noise=0.5)
    assert sizes == [7, 4, 2, 1]
    assert contenders.points[0] == [1.0]
    assert contenders.best_stock == [3.0]  # in the field until the second look
    value, se = contenders.found[0]
    assert value == 1.0
    assert se > 0


def test_a_look_adds_its_samples_to_those_before():
    contenders = looked(looked(Contenders.all_of(STARTS)))
    assert [len(parts) for parts in contenders.seen] == [4] * len(VALUES)
    assert [value for value, _ in contenders.found] == sorted(VALUES)
