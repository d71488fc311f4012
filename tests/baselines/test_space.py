"""The same box for every search."""

import numpy as np
import pytest

from raybilevel import Variable
from raybilevel.baselines.space import grid, initial, optuna_space, tune_space

VARIABLES = (Variable("a", 1.0, 0.1, 10.0, "log"), Variable("b", 0.0, -1.0, 1.0))


def test_a_grid_is_even_on_each_variables_scale_and_holds_the_bounds():
    points = grid(VARIABLES, 3)
    assert points.shape == (9, 2)
    assert sorted(set(points[:, 0])) == pytest.approx([0.1, 1.0, 10.0])
    assert sorted(set(points[:, 1])) == pytest.approx([-1.0, 0.0, 1.0])


def test_tune_and_optuna_get_bounds_and_scales():
    tune, optuna = tune_space(VARIABLES), optuna_space(VARIABLES)
    for v in VARIABLES:
        assert (tune[v.name].lower, tune[v.name].upper) == (v.low, v.high)
        assert (optuna[v.name].low, optuna[v.name].high) == (v.low, v.high)
        assert optuna[v.name].log == (v.scale == "log")
    drawn = np.array([tune["a"].sample() for _ in range(400)])
    assert 0.3 < np.mean(drawn < 1.0) < 0.7  # half of a log scale


def test_the_untuned_point_is_where_variables_begin():
    assert initial(VARIABLES) == {"a": 1.0, "b": 0.0}
