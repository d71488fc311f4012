"""constraints.txt: for the README's install line, the image and cluster nodes."""

import pytest
from cluster.common import CLUSTER, Refused, mutated
from cluster.versions import check

CHANGES = {
    "a range": ("torch==2.13.0", "torch>=2.13.0"),
    "a wildcard": ("torch==2.13.0", "torch==2.13.*"),
    "an option": ("accelerate==", "--extra-index-url https://example.org/simple\naccelerate=="),
    "a file from somewhere": ("accelerate==1.15.0", "accelerate @ https://example.org/a.whl"),
    "a version older than the project allows": ("ray==2.60.0", "ray==2.40.0"),
    "a dependency that nobody pinned": ("diffusers==0.42.1\n", ""),
    "a test's dependency that nobody pinned": ("hypothesis==6.170.15\n", ""),
    "a dependency pinned twice": ("numpy==2.4.6\n", "numpy==2.4.6\nnumpy==2.4.5\n"),
    "one name in two spellings": ("pydantic_core==", "pydantic-core==2.50.3\npydantic_core=="),
    "CUDA of another torch": ("optuna==", "nvidia-nccl==2.27.3\noptuna=="),
    "disorder": ("torch==2.13.0\ntorchmetrics==1.9.0", "torchmetrics==1.9.0\ntorch==2.13.0"),
    "an empty line": ("torch==2.13.0\n", "torch==2.13.0\n\n"),
    "no word of what it is": ("# The versions", "accelerate==1.15.0\n# The versions"),
}
MUTATIONS = [pytest.param("constraints.txt", *change, id=name) for name, change in CHANGES.items()]


def test_the_constraints_keep_their_promises():
    check((CLUSTER / "constraints.txt").read_text())


@pytest.mark.parametrize(("file", "old", "new"), MUTATIONS)
def test_a_mistake_is_caught(file, old, new):
    with pytest.raises(Refused):
        check(mutated((CLUSTER / file).read_text(), old, new))
