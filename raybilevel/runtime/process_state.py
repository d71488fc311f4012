"""What all code of a process shares: put back before a process is used for another problem."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

_SMALLEST = 1e-310  # a denormal number of float64


class ProcessState:
    """Environment variables, paths and numpy's error handling as they were when this was made."""

    def __init__(self) -> None:
        self._variables = dict(os.environ)
        self._directory, self._search_path = Path.cwd(), list(sys.path)
        self._numpy_errors = np.geterr()

    def reset(self, device: str) -> bool:
        """Put back what was, and seed the shared generators by chance, as a new process does.

        False where that is not enough: a problem has changed what torch does for all code, and its
        process is of no use for another one. State in users' own modules stays, as it does from
        shard to shard.

        Parameters
        ----------
        device : that the process computes on, which decides how `make_deterministic` left torch.
        """
        for name in os.environ.keys() | self._variables.keys():
            if name not in self._variables:
                del os.environ[name]
            elif os.environ.get(name) != self._variables[name]:
                os.environ[name] = self._variables[name]
        os.chdir(self._directory)
        sys.path[:] = self._search_path
        np.seterr(**self._numpy_errors)
        random.seed()
        np.random.seed()  # noqa: NPY002 - the one that libraries share
        return "torch" not in sys.modules or _reset_torch(sys.modules["torch"], device == "cuda")


def _reset_torch(torch: Any, cuda: bool) -> bool:
    torch.seed()
    shared = vars(torch.nn.modules.module)
    hooks = [shared[name] for name in shared if name.startswith("_global_") and "hooks" in name]
    return (
        torch.is_grad_enabled()
        and torch.get_default_dtype() is torch.float32
        and torch.get_default_device() == torch.device("cpu")
        and torch.get_float32_matmul_precision() == "highest"
        and torch.are_deterministic_algorithms_enabled() == cuda
        and torch.backends.mkldnn.enabled
        and not torch.backends.cudnn.benchmark
        and torch.backends.cuda.flash_sdp_enabled() != cuda
        and (torch.tensor(_SMALLEST, dtype=torch.float64) / 2).item() > 0
        and not any(hooks)
    )
