"""How samples are cut into shards: which noises are the same, and which are never seen twice."""

import numpy as np

from raybilevel.problems.schedule.shard_plan import ShardPlan
from raybilevel.problems.schedule.shards import Subject

PLAN = ShardPlan.of(64, 16, 128)
BASE = np.array(7)
POINTS = [np.array([-4.0, 1.0]), np.array([-3.0, 2.0])]


def seeds(stage):
    return [shard.noise.seed for shard in stage.shards]


def test_all_points_of_an_evaluation_are_on_the_same_noises():
    stage = PLAN.evaluate(BASE, 3, POINTS, {})
    assert seeds(stage)[:4] == seeds(stage)[4:]
    assert [shard.levels for shard in stage.shards[::4]] == [(-4.0, 1.0), (-3.0, 2.0)]


def test_no_noises_are_drawn_for_two_purposes():
    stages = [PLAN.evaluate(BASE, round_, POINTS[:1], {}) for round_ in range(20)]
    stages += [PLAN.look(BASE, rung, POINTS[:1], {}) for rung in range(5)]
    stages += [PLAN.compare(BASE, [Subject("learned", 2, (-4.0, 1.0))], {})]
    drawn = [seed for stage in stages for seed in seeds(stage)]
    assert len(set(drawn)) == len(drawn)


def test_every_subject_is_compared_on_the_same_noises_and_shows_its_first_images():
    subjects = [Subject("learned", 2, (-4.0, 1.0)), Subject("ddim trailing", 2)]
    stage = PLAN.compare(BASE, subjects, {"sampled": np.zeros(3)})
    half = len(stage.shards) // 2
    assert seeds(stage)[:half] == seeds(stage)[half:]
    assert sum(shard.noise.count for shard in stage.shards) == 2 * 128
    assert [shard.shown for shard in stage.shards[:half]] == [True] + [False] * (half - 1)
    assert stage.broadcast.keys() == {"sampled"}
