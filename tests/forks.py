"""Ray workers as forks of a process that has imported already what they import.

A new process pays three to five CPU seconds for torch, diffusers and Ray, and the suite starts some
hundred. Ray starts its workers by the `py_executable` of a runtime environment: here by `_ask`,
which hands command, environment and files over to `serve`, and ends when its fork does. All else is
Ray's own: a worker is a process, and may be killed. Jobs, commands and nodes have new ones.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

_MESSAGE = 1 << 20


@contextmanager
def server():
    """A process to fork from, and the `py_executable` that asks it; a new Python but on Linux."""
    if sys.platform != "linux":
        yield sys.executable
        return
    with tempfile.TemporaryDirectory(prefix="forks-") as folder:
        path = f"{folder}/socket"
        words = [sys.executable, __file__, "serve", path]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(words, **pipes) as process:  # which ends where its input does
            assert process.stdout.readline() == b"ready\n"
            yield f"{sys.executable} -S -E {__file__} ask {path}"


def _serve(path):
    """Fork for everyone who connects, until the input is closed."""
    import psutil

    _import_all()
    assert psutil.Process().num_threads() == 1, "threads do not outlive a fork"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(path)
    listening.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while listening in select.select([listening, sys.stdin], [], [])[0]:
        asked, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            return _become(asked)
        asked.close()
    return None


def _import_all():
    """But Ray, which reads its environment where it is loaded, and pyarrow, which has a thread."""
    for name in (
        "torch", "diffusers", "diffusers.models.unets.unet_2d", "scipy.stats", "accelerate",
        "diffusers.pipelines.ddim.pipeline_ddim",
        "raybilevel.problems.reward.problem", "raybilevel.problems.schedule.sampling_schedule",
        "raybilevel.problems.schedule.training.problem",
    ):  # fmt: skip
        importlib.import_module(name)


def _become(asked):
    """What was asked for: the script, with its arguments, environment, folder and files."""
    import random
    import runpy

    import numpy

    text, files, *_ = socket.recv_fds(asked, _MESSAGE, 3)
    wanted = json.loads(text)
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    random.seed()
    numpy.random.seed()  # noqa: NPY002
    script, *_ = sys.argv = wanted["arguments"]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")


def _ask(path, arguments):
    """Wait for the fork to end."""
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking.connect(path)
    wanted = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd())}
    socket.send_fds(asking, [json.dumps(wanted).encode()], [0, 1, 2])
    asking.recv(1)


if __name__ == "__main__":
    _, what, where, *rest = sys.argv
    _serve(where) if what == "serve" else _ask(where, rest)
