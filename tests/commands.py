"""The `raybilevel` command in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

_TESTS = Path(__file__).parent


def environment(**variables):
    """This process's variables, with which the tests' own modules can be imported."""
    path = os.pathsep.join([str(_TESTS.parent), str(_TESTS)])
    return {**os.environ, "PYTHONPATH": path, **variables}


def start(*arguments, **variables):
    """Start the command in the current directory."""
    return subprocess.Popen(
        [sys.executable, "-m", "raybilevel", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    )


def finish(process):
    """Wait for its end: returncode, stdout, stderr (what has not been read before)."""
    out, err = process.communicate(timeout=300)
    return SimpleNamespace(returncode=process.returncode, stdout=out, stderr=err)


_EACH = """
import json, os, sys
import torch, raybilevel.config_file  # once for all; not Ray, which reads variables then
from raybilevel.cli.main import main
assert "ray" not in sys.modules
for number, (words, variables) in enumerate(json.loads(sys.argv[1])):
    if os.fork() == 0:
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{sys.argv[2]}/{number}.{name}", os.O_WRONLY | os.O_CREAT), stream)
        os.environ.update(variables)
        sys.argv = ["raybilevel", *words]
        main()
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def each(folder, *commands):
    """Run commands, each a tuple of words and its variables, one after another; gives their ends.

    Each is a process of its own that has joined no Ray; what they import is imported once.
    """
    folder.mkdir()
    words = [sys.executable, "-c", _EACH, json.dumps(commands), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=True)
    out, err = (
        [(folder / f"{i}.{name}").read_text() for i in range(len(commands))]
        for name in ("out", "err")
    )
    codes = map(int, done.stdout.split())
    return [
        SimpleNamespace(returncode=code, stdout=said, stderr=wrong)
        for code, said, wrong in zip(codes, out, err, strict=True)
    ]


def wait_for_line(process, beginning):
    """Read standard error up to the line that begins so."""
    for line in process.stderr:
        if line.startswith(beginning):
            return line
    raise AssertionError(f"the command ended without a line '{beginning}...'")
