"""Which worker runs which shard, told by events alone: no worker is started."""

import numpy as np
import pytest
import ray
from ray.exceptions import RayTaskError
from toys import steps

from raybilevel.errors import InputError, RunError
from raybilevel.problems.base import Stage
from raybilevel.runtime.execution.shard_scheduler import ShardScheduler
from raybilevel.runtime.execution.worker import Report
from raybilevel.runtime.execution.worker_events import (
    ShardDone,
    ShardFailed,
    WorkerGone,
    WorkerPreempted,
    WorkerReady,
)
from raybilevel.runtime.numbering import NumberedStage

pytestmark = pytest.mark.usefixtures("cluster")


def stage(round_, size):
    return NumberedStage(round_, 0, Stage(steps(round_, 0, size)))


@pytest.fixture
def make():
    """Makes a scheduler with so many ready workers, at a stage of so many shards."""

    def scheduler(workers, shards):
        one = ShardScheduler(seed=5)
        one.begin(stage(0, shards))
        for worker in range(workers):
            one.handle(WorkerReady(worker))
        return one

    return scheduler


def sent(scheduler):
    """What is assigned now: by worker, the shards' indices."""
    found = {}
    for each in scheduler.assign():
        found.setdefault(each.worker, []).append((each.call, each.shard.index))
    return found


def done(scheduler, worker, call, seconds=1.0):
    rows = {"i": np.array([call])}
    report = Report(rows, nfe=7, seconds=seconds, seconds_by_part={}, sums_bytes=8)
    scheduler.handle(ShardDone(worker, call, report, ray.put({"g": np.ones(1)})))


def failed(scheduler, worker, call, cause):
    scheduler.handle(ShardFailed(worker, call, RayTaskError("run", "", cause)))


def test_each_worker_has_one_shard_until_it_answers(make):
    scheduler = make(workers=2, shards=3)
    assert sent(scheduler) == {0: [(0, 0)], 1: [(1, 1)]}
    assert sent(scheduler) == {}
    done(scheduler, 1, 1)
    assert sent(scheduler) == {1: [(2, 2)]}
    done(scheduler, 0, 0)
    done(scheduler, 1, 2)
    assert scheduler.stage.finished
    output = scheduler.result()
    assert output.rows["i"].tolist() == [0, 1, 2]
    assert output.sums["g"] == 3
    assert output.nfe == 21


def test_short_shards_are_sent_two_at_a_time(make):
    scheduler = make(workers=1, shards=9)
    for call in range(3):
        assert sent(scheduler) == {0: [(call, call)]}
        done(scheduler, 0, call, seconds=0.001)
    assert sent(scheduler) == {0: [(3, 3), (4, 4)]}


def test_what_a_lost_worker_had_runs_first_and_elsewhere(make):
    scheduler = make(workers=2, shards=4)
    assert sent(scheduler) == {0: [(0, 0)], 1: [(1, 1)]}
    scheduler.handle(WorkerGone(0))
    done(scheduler, 1, 1)
    assert sent(scheduler) == {1: [(2, 0)]}
    scheduler.handle(WorkerGone(7))  # one that had not loaded yet


def test_a_preempted_worker_gets_no_more_and_its_answer_counts(make):
    scheduler = make(workers=2, shards=3)
    sent(scheduler)
    scheduler.handle(WorkerPreempted(0, float("inf")))
    done(scheduler, 0, 0)
    assert sent(scheduler) == {}
    done(scheduler, 1, 1)
    assert sent(scheduler) == {1: [(2, 2)]}


def test_what_a_preempted_worker_cannot_end_in_time_is_queued_again(make):
    scheduler = make(workers=2, shards=8)
    for call in range(0, 6, 2):
        assert sent(scheduler) == {0: [(call, call)], 1: [(call + 1, call + 1)]}
        done(scheduler, 0, call)
        done(scheduler, 1, call + 1)
    assert sent(scheduler) == {0: [(6, 6)], 1: [(7, 7)]}
    scheduler.handle(WorkerPreempted(0, 0.0))
    assert list(scheduler.assign_copies()) == []
    done(scheduler, 1, 7)
    assert sent(scheduler) == {1: [(8, 6)]}
    done(scheduler, 1, 8)
    assert scheduler.stage.finished
    done(scheduler, 0, 6)  # comes after all, and is dropped
    assert scheduler.result().nfe == 7 * 8
    assert scheduler.stage.cost.shards_retried == 1
    assert scheduler.stage.cost.nfe_repeated == 7


def slow_one(make, shards):
    """A scheduler of a stage of `shards` more, whose worker 0 took forty times the median once."""
    scheduler = make(workers=2, shards=4 + shards)
    assert sent(scheduler) == {0: [(0, 0)], 1: [(1, 1)]}
    for call in (1, 2, 3):
        done(scheduler, 1, call, seconds=0.1)
        assert sent(scheduler) == {1: [(call + 1, call + 1)]}
    done(scheduler, 0, 0, seconds=4.0)
    return scheduler


def test_a_slow_worker_gets_no_shard_that_others_would_end_sooner(make):
    scheduler = slow_one(make, shards=10)
    assert sent(scheduler) == {}
    done(scheduler, 1, 4, seconds=0.1)
    assert sent(scheduler) == {1: [(5, 5)]}


def test_a_slow_worker_helps_where_the_others_have_longer_to_go(make):
    scheduler = slow_one(make, shards=60)
    assert sent(scheduler) == {0: [(5, 5)]}


def test_an_answer_to_a_stage_that_is_over_is_dropped(make):
    scheduler = make(workers=2, shards=1)
    assert sent(scheduler) == {0: [(0, 0)]}
    scheduler.begin(stage(1, 1))
    assert sent(scheduler) == {1: [(1, 0)]}
    done(scheduler, 0, 0)
    assert scheduler.stage.left == 1
    done(scheduler, 1, 1)
    assert scheduler.stage.finished


def test_the_third_error_of_a_shard_and_the_fifth_death_on_it_end_the_run(make):
    scheduler = make(workers=1, shards=1)
    for call in range(2):
        assert sent(scheduler) == {0: [(call, 0)]}
        failed(scheduler, 0, call, ArithmeticError("blew up"))
    sent(scheduler)
    with pytest.raises(RunError, match=r"shard 0 of round 0, stage 0 \(Step\) raised 3 times"):
        failed(scheduler, 0, 2, ArithmeticError("blew up"))
    scheduler = make(workers=5, shards=1)
    for worker in range(4):
        assert sent(scheduler) == {worker: [(worker, 0)]}
        scheduler.handle(WorkerGone(worker))
    sent(scheduler)
    with pytest.raises(RunError, match="5 workers died while running shard 0"):
        scheduler.handle(WorkerGone(4))


def test_the_users_error_is_raised_at_once(make):
    scheduler = make(workers=1, shards=1)
    sent(scheduler)
    with pytest.raises(InputError, match="a reward"):
        failed(scheduler, 0, 0, InputError("a reward"))


def test_forgotten_workers_get_nothing(make):
    scheduler = make(workers=2, shards=3)
    sent(scheduler)
    scheduler.forget_workers()
    assert sent(scheduler) == {}
