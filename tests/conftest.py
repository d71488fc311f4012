"""One Ray for the whole session, and one cache folder."""

import logging
import os
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

# before anything imports torch: the suite's numbers do not depend on the machine's cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray's workers would give way to whatever else the machine does
os.environ.setdefault("RAY_worker_niceness", "0")
# what nobody here looks at, and costs half of all that an idle Ray costs
for _name in ("prestart_worker_first_driver", "enable_metrics_collection"):
    os.environ.setdefault(f"RAY_{_name}", "0")
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
# workers unpickle the tests' own problems and rewards by reference
sys.path.insert(0, str(Path(__file__).parent))


LONGEST = (
    "nodes/test_nodes.py",  # first: its process has joined no other Ray yet
    "docs/test_tutorials.py",
    "submit/test_submit.py",
    "baselines/test_trainings.py",
    "baselines/test_compare.py",
    "runtime/test_exact.py",
    "test_soak.py",
    "test_outside_package.py",
    "test_schedule_run.py",
    "cli/test_control.py",
    "runtime/test_executor.py",
    "runtime/test_client.py",
    "cluster/test_dockerfile.py",
)  # then the others in their order: what is long and begun last is waited for


class Files(LoadScopeScheduling):
    """A file goes to one worker, which gets the next when it is at its last test.

    xdist gives it another while two are left, and those may take minutes. And where several workers
    died, it gives tests to those in their place before they have collected any, which ends it all.
    """

    def _split_scope(self, nodeid):
        return nodeid.split("::")[0]

    def _reschedule(self, node):
        at_last = self._pending_of(self.assigned_work[node]) <= 1 or not self.workqueue
        if at_last and node in self.registered_collections:
            super()._reschedule(node)


def pytest_xdist_make_scheduler(config, log):
    return Files(config, log)


def pytest_collection_modifyitems(items):
    tests = Path(__file__).parent
    places = {tests / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory, worker_id):
    """What is pretrained is made once a session, never taken from an earlier one."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "cache"
    os.environ["RAYBILEVEL_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def ray_starts(tmp_path_factory, worker_id):
    """A lock to start a Ray under: four at once on two cores outlast Ray's own patience of 30 s."""
    base = tmp_path_factory.getbasetemp()
    return FileLock((base if worker_id == "master" else base.parent) / "ray-starts.lock")


@pytest.fixture(scope="session")
def cluster(ray_starts):
    """A local Ray with room for four workers, whatever the machine has; returns its address."""
    import forks
    import ray
    from ray.cluster_utils import Cluster

    from raybilevel.testing.nodes import HEAD

    with forks.server() as python:
        with ray_starts:
            started = Cluster(initialize_head=True, head_node_args=HEAD | {"num_cpus": 8})
            ray.init(
                started.address, log_to_driver=False, logging_level=logging.ERROR,
                runtime_env={"py_executable": python},
            )  # fmt: skip
        yield started.address
        ray.shutdown()
        started.shutdown()


@pytest.fixture
def run_in(tmp_path, monkeypatch):
    """A current directory of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
