"""Which clusters a run may join, and what they have room for."""

import json
import os
import subprocess
import sys

import pytest
import ray
from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS

from raybilevel import ScalingConfig
from raybilevel.errors import InputError
from raybilevel.runtime.ray_session import autoscales, check_resources, workers_on

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def kv():
    """The cluster's own key-value store, put right again."""
    client = ray._private.worker.global_worker.gcs_client
    before = {}

    def put(key, value, namespace):
        before[key, namespace] = client.internal_kv_get(key, namespace)
        client.internal_kv_put(key, value, True, namespace)

    yield put
    for (key, namespace), value in before.items():
        client.internal_kv_put(key, value or b"{}", True, namespace)


def report(kv, kinds):
    status = {"autoscaler_report": {"active_nodes": dict.fromkeys(kinds, 1)}}
    kv(DEBUG_AUTOSCALING_STATUS.encode(), json.dumps(status).encode(), None)


def test_a_cluster_that_was_started_by_hand_does_not_grow(kv):
    assert not autoscales()
    report(kv, [f"node_{'0f' * 28}"])  # what a monitor without node types to add reports
    assert not autoscales()


def test_a_cluster_whose_autoscaler_names_its_node_types_grows(kv):
    report(kv, ["ray.head.default"])
    assert autoscales()


def test_a_cluster_smaller_than_min_says_what_it_has():
    with pytest.raises(InputError) as caught:
        check_resources(ScalingConfig(num_workers=(9, 16)), may_grow=False)
    assert str(caught.value) == (
        "scaling.num_workers asks for at least 9 workers of 1 CPUs, but there is room for 8 "
        "(8 CPUs and 0 GPUs on 1 node) and no autoscaler; ask for fewer, or join a larger cluster "
        "with --address"
    )


def test_a_worker_has_to_fit_on_one_node():
    check_resources(ScalingConfig(num_workers=1, cpus_per_worker=8), may_grow=False)
    with pytest.raises(InputError, match="there is room for 0"):
        check_resources(ScalingConfig(num_workers=1, cpus_per_worker=9), may_grow=False)


@pytest.mark.parametrize(("each", "room"), [(1, 2), (0.5, 4), (0.3, 6), (0.1, 8)])
def test_workers_may_share_a_gpu_but_none_has_parts_of_two(each, room):
    scaling = ScalingConfig(use_gpu=True, gpus_per_worker=each)
    assert workers_on(scaling, {"CPU": 8.0, "GPU": 2.0}) == room
    assert scaling.gpus == each


def test_a_cluster_that_grows_may_have_nothing_yet():
    check_resources(ScalingConfig(num_workers=(9, 16), use_gpu=True), may_grow=True)


JOIN = """
import sys
from raybilevel.errors import InputError
from raybilevel.runtime.ray_session import ray_session
try:
    with ray_session(sys.argv[1]):
        pass
except InputError as error:
    print(error)
"""


def test_a_cluster_of_other_versions_is_said_in_one_sentence(cluster, kv):
    metadata = json.loads(
        ray._private.worker.global_worker.gcs_client.internal_kv_get(
            b"CLUSTER_METADATA", b"cluster"
        )
    )
    other = metadata | {"ray_version": "2.1.0", "python_version": "3.8.1"}
    kv(b"CLUSTER_METADATA", json.dumps(other).encode(), b"cluster")
    done = subprocess.run(
        [sys.executable, "-c", JOIN, cluster], capture_output=True, text=True, check=True,
        env=os.environ | {"RAY_ADDRESS": ""},
    )  # fmt: skip
    (sentence,) = done.stdout.splitlines()
    assert sentence.startswith(
        f"the cluster at {cluster} has Ray 2.1.0 and Python 3.8.1, but this process has Ray "
    )
    assert sentence.endswith("or submit the run as a job, which runs there")
