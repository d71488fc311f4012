"""One Ray for the whole session, and one cache folder."""

import logging
import os
import sys
from pathlib import Path

import pytest

# before anything imports torch: the suite's numbers do not depend on the machine's cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
# workers unpickle the tests' own problems and rewards by reference
sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(items):
    """What needs Ray goes first, as two halves of one cluster each; the rest follows by modules."""
    on_ray = {item.path for item in items if "cluster" in item.fixturenames}
    for item in items:
        group = f"ray {item.path.parent.name}" if item.path in on_ray else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.path not in on_ray)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory, worker_id):
    """What is pretrained is made once a session, never taken from an earlier one."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "cache"
    os.environ["RAYBILEVEL_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def cluster():
    """A local Ray with room for four workers, whatever the machine has; returns its address."""
    import ray

    context = ray.init(
        address="local",
        num_cpus=8,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield context.address_info["gcs_address"]
    ray.shutdown()


@pytest.fixture
def run_in(tmp_path, monkeypatch):
    """A current directory of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
