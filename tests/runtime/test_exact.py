"""The same bits without Ray, with any number of workers, and through deaths."""

import os
import threading
from functools import partial

import numpy as np
import pytest
import ray
from schedule_toys import UNCOMPARED, DyingPixels, Pixels, learning, save_pipeline, tuning
from toys import (
    KILL,
    Descent,
    DyingGaussian,
    DyingNoise,
    DyingPixel,
    Held,
    Once,
    die,
    first,
    gaussian,
    nap,
    near_bright,
    near_one,
    near_three,
)

from raybilevel import RewardTuning, RunConfig, ScalingConfig
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.client import drive, driver_name
from raybilevel.runtime.driver import NAMESPACE
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.storage import RunDirectory

pytestmark = pytest.mark.usefixtures("cluster")

EXACT = ("upper_loss", "nfe_total")


def order(problem, tmp_path, workers, name="run"):
    run = RunConfig(name=name, storage_path=str(tmp_path), seed=5)
    return RunSpec(problem, ScalingConfig(num_workers=workers), run, name)


def outcome(order):
    """What a run left behind: its final state, and the exact columns of its history."""
    directory = RunDirectory(order.run.storage_path, order.name)
    state = Checkpoints(directory).read().state
    history = directory.read_table("history")
    columns = [c for c in history if c.startswith("config/") or c in EXACT]
    return state, history[columns].to_numpy()


def drive_quietly(order):
    drive(order, lambda progress: None)
    return outcome(order)


def locally(problem):
    run, rows = run_locally(problem, RunConfig(seed=5))
    columns = [c for c in rows[0] if c.startswith("config/") or c in EXACT]
    return run.state, np.array([[row[c] for c in columns] for row in rows])


def assert_same_bits(one, other):
    state, trace = one
    other_state, other_trace = other
    assert state.keys() == other_state.keys()
    for name in state:
        assert state[name].tobytes() == other_state[name].tobytes(), name
    assert trace.tobytes() == other_trace.tobytes()


def reward_problem():
    """A pool of four rounds, several shards in each."""
    return RewardTuning(
        model=gaussian, lower_reward=first, upper_reward=near_one, pool_size=2048, shard_size=64
    )


@pytest.mark.parametrize(
    ("make", "workers"),
    [(Descent, 1), (Descent, 4), (reward_problem, 4)],
)
def test_bits_do_not_depend_on_the_number_of_workers(make, workers, tmp_path):
    """Two, of which one is killed, and a driver that goes on with one, are below."""
    assert_same_bits(drive_quietly(order(make(), tmp_path, workers)), locally(make()))


@pytest.fixture(scope="module")
def schedule_problem(tmp_path_factory):
    """Makes the problem of a small pipeline's sampling schedule: stages of many kinds."""
    model = save_pipeline(tmp_path_factory.mktemp("model") / "pipeline")
    return lambda extractor: tuning(model, extractor=extractor, second_extractor=Pixels())


def test_bits_of_a_schedule_do_not_depend_on_workers_nor_on_one_that_is_killed(
    schedule_problem, tmp_path
):
    """Two, of which one is killed, and none."""
    driven = drive_quietly(order(schedule_problem(DyingPixels(tmp_path)), tmp_path, 2))
    assert (tmp_path / "died").exists()
    assert_same_bits(driven, locally(schedule_problem(Pixels())))


def learning_problem(extractor):
    return learning(
        extractor=extractor, second_extractor=Pixels(),
        penalty={"z_step": "truncated", "gamma": 100.0}, **UNCOMPARED,
    )  # fmt: skip


def driven_twice(problem, tmp_path, rounds):
    """By one worker, which is killed, for so many rounds; to the end by another driver with two."""
    for workers, most in ((1, rounds), (2, None)):
        run = RunConfig(name="run", storage_path=str(tmp_path), seed=5, max_rounds=most)
        drive(
            RunSpec(problem, ScalingConfig(num_workers=workers), run, "run"), lambda progress: None
        )
        assert (tmp_path / "died").exists()
    return outcome(order(problem, tmp_path, 2))


def test_bits_of_weights_and_schedule_do_not_depend_on_workers_nor_on_one_driver(tmp_path):
    """One worker, which is killed, up to the first update; another driver goes on with two."""
    found = driven_twice(learning_problem(DyingPixels(tmp_path)), tmp_path, rounds=7)
    assert_same_bits(found, locally(learning_problem(Pixels())))


def ladder_problem(model):
    """Particles that are moved down a ladder of several rungs, two shards of chains in each."""
    return RewardTuning(
        model=model, lower_reward=first, upper_reward=near_three, estimator="annealed",
        pool_size=1024, shard_size=16,
    )  # fmt: skip


def test_bits_of_a_ladder_do_not_depend_on_workers_nor_on_one_driver(tmp_path):
    """One worker, which is killed, to the middle of the ladder; another driver goes on with two."""
    found = driven_twice(ladder_problem(DyingNoise(tmp_path)), tmp_path, rounds=6)
    assert_same_bits(found, locally(ladder_problem(DyingNoise())))
    assert len(found[0]["rungs_scale"]) > 3


def guided_problem(reward, **options):
    """Paths that are pushed along a reward's gradient, in several strata of eight shards each."""
    return RewardTuning(
        model="raybilevel.testing.gaussian_pipeline:gaussian_pipeline", lower_reward=reward,
        upper_reward=near_bright, estimator="guided", sampling_steps=8, call_options={"eta": 1.0},
        pool_size=1024, max_pool_size=2048, shard_size=32, **options,
    )  # fmt: skip


def test_bits_of_guided_paths_do_not_depend_on_workers_nor_on_one_that_is_killed(tmp_path):
    """Two, of which one is killed, and none."""
    found = drive_quietly(order(guided_problem(DyingPixel(tmp_path)), tmp_path, 2))
    assert (tmp_path / "died").exists()
    assert_same_bits(found, locally(guided_problem(DyingPixel())))
    assert len(found[0]["guided_scales"]) > 2


def test_bits_of_islands_of_guided_paths_do_not_depend_on_a_worker_that_is_killed(tmp_path):
    """One, which is killed, and none."""
    islands = partial(guided_problem, guided_resampling=True)
    found = drive_quietly(order(islands(DyingPixel(tmp_path)), tmp_path, 1))
    assert (tmp_path / "died").exists()
    assert_same_bits(found, locally(islands(DyingPixel())))
    assert len(found[0]["rungs_scale"]) > 3


def test_bits_survive_a_worker_killed_in_mid_shard(tmp_path):
    problem = reward_problem().model_copy(update={"model": DyingGaussian(tmp_path)})
    killed = drive_quietly(order(problem, tmp_path, 2))
    assert (tmp_path / "died").exists()
    assert_same_bits(killed, locally(reward_problem()))


def test_a_killed_worker_costs_its_shard_alone(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    mishap = Once(marks, die)
    killed = order(Descent(mishap=mishap), tmp_path, 2)
    assert_same_bits(drive_quietly(killed), locally(Descent()))
    history = RunDirectory(str(tmp_path), "run").read_table("history")
    # one death in each of the round's two stages, and at most one shard more that was on its way
    assert mishap.happened == 2
    assert 2 <= history["shards_retried"].iloc[-1] <= 4
    assert history["nfe_repeated"].iloc[-1] == 7 * history["shards_retried"].iloc[-1]
    assert history["nfe_total"].iloc[-1] == 7 * 2 * 6 * 4


def driver_pid(order):
    driver = ray.get_actor(driver_name(order.run.storage_path, order.name), namespace=NAMESPACE)
    return ray.get(driver.__ray_call__.remote(lambda self: os.getpid()))


class KillDriver:
    """Watches a run and kills its driver at each of the given moments, once; signs the last."""

    def __init__(self, order, moments, sign):
        self.order, self.moments, self.sign = order, list(moments), sign

    def __call__(self, progress):
        if self.moments and self.moments[0](progress):
            self.moments.pop(0)
            os.kill(driver_pid(self.order), KILL)
            if not self.moments:
                self.sign.touch()


def inside(round_):
    return lambda p: p.round == round_ and 0 < p.shards_left < 6


def after(round_):
    return lambda p: any(row["training_iteration"] == round_ for row in p.rows)


@pytest.mark.parametrize(
    ("moments", "last"),
    [([inside(0)], 0), ([after(1), inside(2)], 2)],
    ids=["inside the first round", "after the first round and inside the third"],
)
def test_bits_survive_a_driver_killed(moments, last, tmp_path):
    wanted = order(Descent(mishap=Held(tmp_path / "sign", last, 3)), tmp_path, 2)
    killer = KillDriver(wanted, moments, tmp_path / "sign")
    drive(wanted, killer)
    assert not killer.moments
    assert_same_bits(outcome(wanted), locally(Descent()))


def test_a_run_resumed_by_a_new_driver_has_the_same_bits(tmp_path):
    for rounds, workers in ((2, 1), (9, 2)):
        run = RunConfig(name="run", storage_path=str(tmp_path), seed=5, max_rounds=rounds)
        resumed = RunSpec(Descent(), ScalingConfig(num_workers=workers), run, "run")
        drive_quietly(resumed)
    assert_same_bits(outcome(resumed), locally(Descent()))


def test_the_bit_tests_can_fail(tmp_path):
    """A shard that reads a global generator breaks the promise, and these tests see it."""
    leaky = drive_quietly(order(Descent(leaky=True), tmp_path, 2))
    with pytest.raises(AssertionError):
        assert_same_bits(leaky, locally(Descent(leaky=True)))


def test_two_drivers_never_share_a_run(tmp_path):
    wanted = order(Descent(mishap=nap), tmp_path, 1)
    started, errors = threading.Event(), []

    def second():
        started.wait(300)
        try:
            drive(wanted, lambda progress: None)
        except ValueError as error:
            errors.append(error)

    other = threading.Thread(target=second)
    other.start()
    drive(wanted, lambda progress: (started.set(), other.join(0.5)))
    other.join()
    assert errors
