"""A schedule of another package is tuned by its name, as ours are."""

import numpy as np
import pytest
from packages import register, write_module
from pydantic import TypeAdapter, ValidationError

from raybilevel.errors import InputError
from raybilevel.problems.schedule.space import make_schedule
from raybilevel.schedules import ScheduleName, cosine, load_schedule

THEIRS = """
    from raybilevel.schedules import cosine

    def slower(**options):
        return cosine(tau=2.0, **options)
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_registered_schedule_is_made_by_its_name(site):
    register(site, "their-schedules", "schedules", "slower", "their_schedules:slower")
    write_module(site, "their_schedules", THEIRS)
    assert TypeAdapter(ScheduleName).validate_python("slower") == "slower"
    made = make_schedule("slower", 5, (-10.0, 10.0), {})
    wanted = cosine(tau=2.0)
    assert np.array_equal(made.betas(made.init, 9), wanted.betas(wanted.init, 9))


def test_a_name_that_nobody_registers_lists_the_known():
    with pytest.raises(InputError, match="schedule is 'linear'; the known are knots, cosine, sig"):
        load_schedule("linear")
    with pytest.raises(ValidationError, match="Input should be 'knots', 'cosine' or 'sigmoid'"):
        TypeAdapter(ScheduleName).validate_python("linear")


def test_what_is_registered_must_make_schedules(site):
    register(site, "their-numbers", "schedules", "three", "their_numbers:three")
    write_module(site, "their_numbers", "three = 3")
    with pytest.raises(InputError, match=r"package their-numbers is 3, but it must be make\("):
        load_schedule("three")
