"""The first crossing of a level, from one end, within what can be believed."""

import math

import pytest

from raybilevel.upper.crossing import walk_to


def looked_at(value, start=3.0, end=-3.0, level=0.0, believed=lambda z: True):
    seen = []

    def both(z):
        seen.append(z)
        return value(z), believed(z)

    return walk_to(level, both, start, end), seen


def test_of_several_crossings_it_is_the_first():
    walk, seen = looked_at(lambda z: math.cos(2 * z) + 0.5)
    assert walk.crossed
    assert walk.root() == pytest.approx(2 * math.pi / 3, abs=1e-11)
    assert min(seen) > 1.9


def test_where_nothing_is_crossed_the_whole_way_was_seen():
    walk, _ = looked_at(lambda z: z * z + 1)
    assert not walk.crossed
    assert (walk.zs[0], walk.zs[-1], walk.refused) == (3.0, -3.0, None)
    assert walk.begins_above


def test_it_goes_as_near_to_what_cannot_be_believed_as_halves_do():
    walk, _ = looked_at(lambda z: z + 9, believed=lambda z: z > 0.777)
    assert not walk.crossed
    assert walk.refused <= 0.777 < walk.zs[-1] < walk.refused + 2e-4


def test_a_crossing_just_before_what_cannot_be_believed_is_found():
    walk, _ = looked_at(lambda z: z - 0.78, believed=lambda z: z > 0.777)
    assert walk.crossed
    assert walk.root() == pytest.approx(0.78, abs=1e-11)


def test_a_start_that_cannot_be_believed_leaves_nothing():
    walk, seen = looked_at(lambda z: z, believed=lambda z: False)
    assert not walk.zs
    assert not walk.crossed
    assert (seen, walk.refused) == ([3.0], 3.0)
