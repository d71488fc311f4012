"""One head with dashboard and token for what is submitted to it."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from commands import environment
from submit.head import Head


@pytest.fixture(scope="module")
def head(ray_starts):
    folder = Path(tempfile.mkdtemp(prefix="rb"))  # pytest's own are too deep for Ray's sockets
    checkout = environment()["PYTHONPATH"].split(os.pathsep)[0]
    python = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {"PYTHONPATH": checkout, "PATH": python, "OMP_NUM_THREADS": "1"}
    # Ray's own 15 starves its workers beside tests
    with ray_starts:
        head = Head(folder, 5, {**variables, "RAY_worker_niceness": "0"})
    yield head
    head.close()
    shutil.rmtree(folder)
