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


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """What is pretrained is made once a session, never taken from an earlier one."""
    folder = tmp_path_factory.mktemp("cache")
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
