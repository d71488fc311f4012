"""Thread counts, which decide bits: sums are split differently over 1 and 2 threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import threadpoolctl

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def fix_threads(count: int) -> None:
    """Give this process `count` threads for good; torch as well, now or once it is imported."""
    threadpoolctl.threadpool_limits(count)
    _tell_torch(count)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Give this process `count` threads for a while, and a torch that is imported meanwhile."""
    variables = {name: os.environ.get(name) for name in _VARIABLES}
    before = current_threads() if "torch" in sys.modules else None
    try:
        _tell_torch(count)
        with threadpoolctl.threadpool_limits(count):
            yield
    finally:
        _restore_variables(variables)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(before or default_threads())


def _tell_torch(count: int) -> None:
    for name in _VARIABLES:
        os.environ[name] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


def default_threads() -> int:
    """How many threads a library takes that is not told."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else (os.cpu_count() or 1)


def current_threads() -> int:
    """How many threads this process has: torch's, or numpy's where torch is not imported."""
    if "torch" in sys.modules:
        return int(sys.modules["torch"].get_num_threads())
    return max((pool["num_threads"] for pool in threadpoolctl.threadpool_info()), default=1)


def _restore_variables(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
