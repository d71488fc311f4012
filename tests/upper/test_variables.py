"""Variables keep their promises about boxes and scales."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybilevel.upper.variables import Box, Variable


@st.composite
def variables(draw):
    scale = draw(st.sampled_from(["linear", "log"]))
    low = draw(st.floats(0.01, 10.0))
    high = low + draw(st.floats(0.01, 100.0))
    init = draw(st.floats(low, high))
    return Variable("v", init, low, high, scale)


@given(variables(), st.floats(0, 1))
def test_scaling_there_and_back_is_the_identity(v, t):
    value = v.low + t * (v.high - v.low)
    assert v.from_scaled(v.to_scaled(value)) == pytest.approx(value, rel=1e-12)


@given(variables(), st.floats(-100, 100))
def test_values_never_leave_the_box(v, z):
    assert v.low <= v.from_scaled(z) <= v.high


@given(variables(), st.floats(0.1, 0.9))
def test_slope_is_the_derivative_of_the_value(v, t):
    z = v.to_scaled(v.low) * (1 - t) + v.to_scaled(v.high) * t
    step = 1e-6
    inside = Variable("v", v.init, v.low / 2, v.high * 2, v.scale)
    difference = (inside.from_scaled(z + step) - inside.from_scaled(z - step)) / (2 * step)
    assert v.slope(v.from_scaled(z)) == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((1.0, 2.0, 2.0), "low 2 >= high 2"),
        ((3.0, 1.0, 2.0), r"init 3 outside its bounds \[1, 2\]"),
        ((1.0, 0.0, 2.0, "log"), "low must be above 0"),
        ((float("nan"), 0.0, 2.0), "init nan"),
        ((1.0, 0.0, float("inf")), "high inf"),
        ((1.0, 0.5, 2.0, "cubic"), "scale"),
    ],
)
def test_bad_boxes_are_refused_in_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Variable("lambda_", *arguments)


def test_a_box_is_its_variables_side_by_side():
    box = Box([Variable("a", 1.0, 0.1, 10.0, "log"), Variable("b", 0.0, -1.0, 1.0)])
    x = np.array([2.0, 0.5])
    np.testing.assert_allclose(box.from_scaled(box.to_scaled(x)), x)
    np.testing.assert_allclose(box.slopes(x), [2.0, 1.0])
    np.testing.assert_array_equal(box.project(np.array([9.0, -3.0])), [box.high[0], -1.0])


def test_integer_bounds_are_read_as_floats():
    """A vector made of them must not round what is tuned."""
    variable = Variable("lambda", 1, 1, 2, "log")
    assert all(isinstance(value, float) for value in (variable.init, variable.low, variable.high))
    assert isinstance(variable.from_scaled(99.0), float)
