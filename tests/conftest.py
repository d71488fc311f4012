"""One Ray for the whole session, and one cache folder."""

import logging
import os
import sys
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

# before anything imports torch: the suite's numbers do not depend on the machine's cores
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray's workers would give way to whatever else the machine does
os.environ.setdefault("RAY_worker_niceness", "0")
# workers unpickle the tests' own problems and rewards by reference
sys.path.insert(0, str(Path(__file__).parent))


RAY = (
    "tests",
    "runtime",
    "nodes",
    "baselines",
    "submit",
)  # folders with tests that need it: a cluster each


SOAK = Path(__file__).parent / "test_soak.py"


class Folders(LoadScopeScheduling):
    """A folder that needs Ray goes to one worker, whose cluster it shares; the rest by modules.

    xdist 3.8's own groups do nothing with pytest 9: it no longer reads what they change.
    """

    def _split_scope(self, nodeid):
        file = Path(nodeid.split("::")[0])
        return file.parent.name if file.parent.name in RAY else str(file)


def pytest_xdist_make_scheduler(config, log):
    return Folders(config, log)


def pytest_collection_modifyitems(items):
    """Nodes before others join a Ray; then the longest folders, and what mostly waits beside."""

    def place(item):
        folder = item.path.parent.name
        return folder != "nodes", folder not in RAY and item.path != SOAK

    items.sort(key=place)


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
