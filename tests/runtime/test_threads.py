"""Thread counts are what they were asked to be, in torch and in numpy's BLAS."""

import subprocess
import sys

import threadpoolctl
import torch

from raybilevel.runtime.threads import threads


def test_threads_are_set_for_a_while_and_given_back():
    before = torch.get_num_threads()
    with threads(2):
        assert torch.get_num_threads() == 2
        assert all(pool["num_threads"] <= 2 for pool in threadpoolctl.threadpool_info())
    assert torch.get_num_threads() == before


def test_threads_are_given_back_after_an_error():
    before = torch.get_num_threads()
    try:
        with threads(before + 1):
            raise ArithmeticError
    except ArithmeticError:
        assert torch.get_num_threads() == before


SCRIPT = """
from raybilevel.runtime.threads import fix_threads
fix_threads({count})
import torch, numpy, threadpoolctl
print(torch.get_num_threads(), *[p["num_threads"] for p in threadpoolctl.threadpool_info()])
"""


def test_threads_fixed_before_torch_is_imported_hold_for_all_that_comes_after():
    # a fresh process: this one has imported torch long ago
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(count=2)], capture_output=True, text=True, check=True
    )
    counts = [int(word) for word in run.stdout.split()]
    assert len(counts) >= 2
    assert set(counts) == {2}


IMPORTED_MEANWHILE = """
import os
from raybilevel.runtime.threads import current_threads, default_threads, threads
before = os.environ.get("OMP_NUM_THREADS")
with threads(2):
    import torch
    print(torch.get_num_threads(), current_threads())
print(torch.get_num_threads() == default_threads(), os.environ.get("OMP_NUM_THREADS") == before)
"""


def test_a_torch_that_is_imported_meanwhile_has_the_same_threads():
    run = subprocess.run(
        [sys.executable, "-c", IMPORTED_MEANWHILE], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["2", "2", "True", "True"]
