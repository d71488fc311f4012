"""A cluster of several raylets on this machine, whose nodes come and go."""

import pytest
import ray

from raybilevel.testing.nodes import SpotCluster


@pytest.fixture(scope="module")
def joined(ray_starts):
    """One for a module, before this process joins the session's, which would end by leaving it."""
    assert not ray.is_initialized(), "tests of nodes come first; tests/conftest.py sees to it"
    with ray_starts:
        cluster = SpotCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def nodes(joined):
    """Without any node but the head, before and after each test."""
    yield joined
    joined.clear()
