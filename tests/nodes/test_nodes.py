"""Nodes that are added, drained and killed while runs go on, on several real raylets."""

import threading
import time

import numpy as np
import pytest
import ray
from commands import finish, start
from ray.autoscaler.v2.sdk import get_cluster_resource_state
from toys import Descent, Ear, Endless, Held, Seen, Wide, nap, steps
from users import settle_without_torch

from raybilevel import RunConfig, ScalingConfig
from raybilevel.errors import Starved
from raybilevel.runtime.checkpoints import Checkpoints
from raybilevel.runtime.client import drive
from raybilevel.runtime.rounds import run_locally
from raybilevel.runtime.run_spec import RunSpec
from raybilevel.runtime.storage import RunDirectory
from raybilevel.testing.quiet import differences


class Going:
    """A run that goes on in a thread; `at(moment)` waits for it to come to one."""

    def __init__(self, problem, folder, workers, **limits):
        run = RunConfig(name="run", storage_path=str(folder), seed=5)
        self.order = RunSpec(problem, ScalingConfig(num_workers=workers, **limits), run, "run")
        self.directory = RunDirectory(str(folder), "run")
        self.progress, self.error, self.notes = None, None, []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            drive(self.order, self._see)
        except Exception as error:
            self.error = error

    def _see(self, progress):
        self.progress = progress
        self.notes = progress.notes

    def at(self, moment, seconds=150):
        until = time.monotonic() + seconds
        while self.progress is None or not moment(self.progress):
            assert time.monotonic() < until, f"not so far in {seconds} s: {self.progress}"
            assert self._thread.is_alive(), self.error
            time.sleep(0.02)

    def end(self, seconds=300):
        self._thread.join(seconds)
        assert not self._thread.is_alive(), self.progress
        if self.error:
            raise self.error
        return self.directory.read_table("history")


def inside(round_):
    return lambda p: p.round >= round_ and p.workers and p.shards_left > 0


def assert_as_if_nothing_had_happened(going, problem):
    assert not list(differences(going.directory, *run_locally(problem, RunConfig(seed=5))))


def state_with_demand_for(count, seconds=60):
    """The cluster's state as the autoscaler reads it, once Ray has told it of so many that wait."""
    client = ray._private.worker.global_worker.gcs_client
    until = time.monotonic() + seconds
    while True:
        state = get_cluster_resource_state(client)
        if [demand.count for demand in state.pending_resource_requests] == [count]:
            return state
        assert time.monotonic() < until, state.pending_resource_requests
        time.sleep(0.05)


def test_many_large_sums_are_added_on_the_nodes_to_the_same_bits(nodes, tmp_path):
    nodes.only(2, 2)
    going = Going(Wide(), tmp_path, (1, 4))
    going.end()
    assert_as_if_nothing_had_happened(going, Wide())


def test_a_node_that_is_killed_costs_its_shards_alone(nodes, tmp_path):
    _, lost = nodes.only(2, 2)
    going = Going(Descent(rounds=12, mishap=nap), tmp_path, (4, 4))
    going.at(inside(1))
    nodes.kill(lost)
    history = going.end()
    assert history["workers_lost"].iloc[-1] == 2
    assert 0 < history["shards_retried"].iloc[-1] <= 2
    assert history["nfe_repeated"].iloc[-1] == 7 * history["shards_retried"].iloc[-1]
    assert_as_if_nothing_had_happened(going, Descent(rounds=12))


def test_idle_workers_are_given_back_and_asked_for_again(nodes):
    from raybilevel.problems.base import Stage
    from raybilevel.runtime.execution.executor import StageExecutor
    from raybilevel.runtime.numbering import NumberedStage
    from raybilevel.runtime.serialization import Serialized

    nodes.only(2)
    ear = Ear()
    executor = StageExecutor(
        Serialized.dump(Descent()), ScalingConfig(num_workers=2), 5, ear, idle_s=1.0
    )
    stage = NumberedStage(0, 0, Stage(steps(0, 0, 4), {"x": np.zeros(1)}))
    first, costs = executor.run(stage)
    until = time.monotonic() + 30
    while ray.available_resources().get("CPU", 0) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert executor.ready == 0
    assert ray.available_resources()["CPU"] == 2
    assert ear.said[-1] == "2 idle workers are given back until there is work for them"
    second, again = executor.run(stage)
    executor.close()
    assert second.sums["g"].tobytes() == first.sums["g"].tobytes()
    assert costs["workers_joined"] == 2
    assert again["workers_joined"] >= 1  # of two, if the other was not needed
    assert again["workers_lost"] == 0


def test_a_token_kept_for_another_cluster_is_not_shown_where_none_is_wanted(nodes, run_in):
    nodes.only(2)
    settle_without_torch(run_in, "tokenless")
    (run_in / ".ray").mkdir()
    (run_in / ".ray/auth_token").write_text("0" * 64)
    done = finish(start("run", "c.yaml", "--address", nodes.address, HOME=str(run_in)))
    assert done.returncode == 0, done.stderr


def test_a_drained_node_ends_its_shards_and_gets_no_more(nodes, tmp_path):
    _, leaving = nodes.only(1, 1)
    going = Going(Descent(rounds=8, mishap=nap), tmp_path, (2, 2))
    going.at(inside(1))
    nodes.drain(leaving, 60)
    history = going.end()
    assert history["workers_drained"].iloc[-1] == 1
    assert history["workers_lost"].iloc[-1] == 0
    assert history["shards_retried"].iloc[-1] == 0  # what it had in flight was waited for
    assert any("is drained: its workers take no new shards" in note for note in going.notes)
    assert_as_if_nothing_had_happened(going, Descent(rounds=8))


def test_what_cannot_be_done_by_the_deadline_begins_elsewhere_at_once(nodes, tmp_path):
    """On the third node, which has nothing to do."""
    nodes.only(1, 1, 1)
    seen = Seen(tmp_path, 3.0)
    going = Going(Descent(rounds=2, shards=2, mishap=seen), tmp_path, (3, 3))
    going.at(lambda progress: seen.nodes(1))  # by then the pace is known
    (busy,) = [n for n in nodes.nodes if n.node_id == seen.nodes(1)[0]]
    nodes.drain(busy, 0.1)
    history = going.end()
    assert history["workers_drained"].iloc[-1] == 1
    assert history["shards_retried"].iloc[-1] == 1  # begun again without waiting for its end
    assert_as_if_nothing_had_happened(going, Descent(rounds=2, shards=2))


def test_sums_that_went_with_their_node_are_made_again(nodes, tmp_path):
    _, lost = nodes.only(1, 1)
    # some answers are there, and no block of eight is whole
    going = Going(Wide(mishap=Held(tmp_path / "sign", 1, 5)), tmp_path, (2, 2))
    going.at(lambda p: p.round == 1 and p.shards_left == 15)
    nodes.kill(lost)
    (tmp_path / "sign").touch()
    history = going.end()
    assert history["workers_lost"].iloc[-1] == 1
    assert history["shards_retried"].iloc[-1] > 1  # not only what was in flight
    assert_as_if_nothing_had_happened(going, Wide())


def test_too_few_workers_for_too_long_stop_the_run_with_all_rounds_saved(nodes, tmp_path):
    (only,) = nodes.only(1)
    going = Going(Descent(mishap=Endless(2)), tmp_path, (1, 1), min_workers_timeout_s=40)
    going.at(inside(2))
    nodes.kill(only)
    with pytest.raises(
        Starved, match=r"^0 of at least 1 workers are there after scaling\.min_work"
    ):
        going.end()
    assert any(
        note.startswith("0 of at least 1 workers are there; waiting") for note in going.notes
    )
    assert Checkpoints(going.directory).read().record["round"] == 2
    nodes.add(1)
    again = Going(Descent(), tmp_path, (1, 1))
    again.end()
    assert_as_if_nothing_had_happened(again, Descent())


def test_workers_that_do_not_fit_are_demand_that_the_autoscaler_sees(nodes, tmp_path):
    (node,) = nodes.only(1)
    going = Going(Descent(rounds=30, mishap=nap), tmp_path, (1, 4))
    going.at(inside(0))
    state = state_with_demand_for(3)
    (demand,) = state.pending_resource_requests
    assert dict(demand.request.resources_bundle) == {"CPU": 1.0}
    assert node.node_id in {n.node_id.hex() for n in state.node_states}
    nodes.add(3)
    history = going.end()
    assert history["workers_joined"].iloc[-1] == 4
    assert history["num_workers"].iloc[-1] == 4
    assert_as_if_nothing_had_happened(going, Descent(rounds=30))


def test_a_driver_lost_with_its_node_goes_on_elsewhere_from_storage_alone(nodes, tmp_path):
    nodes.only()
    place = nodes.add(2, raybilevel_driver=1)
    nodes.add(2, raybilevel_driver=1)
    problem = Descent(rounds=6, mishap=nap)
    going = Going(problem, tmp_path, (1, 4))
    going.at(inside(2))
    place = driver_node(nodes, going.order) or place
    nodes.kill(place)
    going.end()
    assert_as_if_nothing_had_happened(going, Descent(rounds=6))


def driver_node(nodes, order):
    from raybilevel.runtime.client import driver_name
    from raybilevel.runtime.driver import NAMESPACE

    driver = ray.get_actor(driver_name(order.run.storage_path, order.name), namespace=NAMESPACE)
    where = ray.get(
        driver.__ray_call__.remote(lambda self: ray.get_runtime_context().get_node_id())
    )
    return next((n for n in nodes.nodes if n.node_id == where), None)
