"""A cluster of several raylets on this machine, whose nodes come and go."""

import pytest
import ray

from raybilevel.testing.nodes import SpotCluster


class Nodes(SpotCluster):
    """Whose nodes serve one test after another: to start one takes two CPU seconds."""

    def __init__(self):
        super().__init__()
        self._cpus, self._leaving = {}, []

    def add(self, cpus=2, **resources):
        node = super().add(cpus, **resources)
        self._cpus[node.node_id] = None if resources else cpus
        return node

    def drain(self, node, seconds):
        self._leaving.append(node)
        super().drain(node, seconds)

    def only(self, *cpus):
        """Nodes of so many CPUs and no others beside the head; in their order."""
        spare = [node for node in self.nodes if node not in self._leaving]
        found = [self._take(spare, wanted) for wanted in cpus]
        for node in [node for node in self.nodes if node not in found]:
            self.kill(node)
        return [node or self.add(wanted) for node, wanted in zip(found, cpus, strict=True)]

    def _take(self, spare, wanted):
        fitting = [node for node in spare if self._cpus[node.node_id] == wanted]
        if fitting:
            spare.remove(fitting[0])
        return next(iter(fitting), None)


@pytest.fixture(scope="module")
def joined(ray_starts):
    """One for a module, before this process joins the session's, which would end by leaving it."""
    assert not ray.is_initialized(), "tests of nodes come first; tests/conftest.py sees to it"
    with ray_starts:
        cluster = Nodes()
    yield cluster
    cluster.close()


@pytest.fixture
def nodes(joined):
    """What another test has left; a test begins with `only`, which says what it needs."""
    return joined
