"""A cluster of several raylets on this machine, whose nodes come and go."""

import logging

import pytest
import ray

from raybilevel.testing.nodes import SpotCluster


@pytest.fixture(scope="module")
def joined():
    """One for a module; what this process had joined before is joined again after it."""
    before = ray.get_runtime_context().gcs_address if ray.is_initialized() else None
    ray.shutdown()
    cluster = SpotCluster()
    yield cluster
    cluster.close()
    if before:
        ray.init(address=before, log_to_driver=False, logging_level=logging.ERROR)


@pytest.fixture
def nodes(joined):
    """Without any node but the head, before and after each test."""
    yield joined
    joined.clear()
