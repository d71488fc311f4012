"""What bits depend on beside the configuration: recorded in a run, compared when it goes on."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from typing import Any

import numpy as np

from raybilevel.runtime.threads import current_threads

Facts = dict[str, str | int]

_PACKAGES = ("raybilevel", "ray", "torch", "diffusers", "numpy", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide bits or formats."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def hardware(device: str) -> Facts:
    """What this process computes with: CPU capability, threads, and the GPU's model.

    To be asked once the problem is loaded. The CPU capability is torch's where the problem has
    imported torch, and else numpy's: all workers of a problem say the same kind.
    """
    facts: Facts = {"cpu_capability": _cpu_capability(), "threads": current_threads()}
    if device == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _cpu_capability() -> str:
    if "torch" in sys.modules:
        return str(sys.modules["torch"].backends.cpu.get_cpu_capability())
    found = np.show_config(mode="dicts")["SIMD Extensions"]
    return f"numpy {(found.get('found') or found['baseline'])[-1]}"


def make_deterministic(device: str) -> None:
    """Choose the same kernels every time; on CUDA at some cost in speed."""
    if device != "cuda":
        return
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)


class Environment:
    """The kinds of hardware and versions that a run has seen: its bits are sure with one of each.

    Attributes
    ----------
    exact : whether all that has run so far was of one kind.
    """

    def __init__(self) -> None:
        self.exact = True
        self._versions = versions()
        self._hardware: Facts | None = None

    def restore(self, record: dict[str, Any]) -> list[str]:
        """Take up a checkpoint's record; returns sentences on what differs now."""
        self.exact = record["exact"]
        self._hardware = record["hardware"]
        return self._compare(record["versions"], self._versions, "versions")

    def add_workers(self, workers: list[Facts]) -> list[str]:
        """Take note of the workers at hand; returns sentences on what differs from the first."""
        notes = []
        for facts in workers:
            if self._hardware is None:
                self._hardware = facts
            notes += self._compare(self._hardware, facts, "hardware")
        return notes

    def record(self) -> dict[str, Any]:
        """What a checkpoint keeps, JSON-able."""
        return {"exact": self.exact, "hardware": self._hardware, "versions": self._versions}

    def _compare(self, old: dict[str, Any], new: dict[str, Any], what: str) -> list[str]:
        if old == new or not self.exact:
            return []
        self.exact = False
        changes = [
            f"{k} {old.get(k)} and {new.get(k)}"
            for k in sorted(old.keys() | new.keys())
            if old.get(k) != new.get(k)
        ]
        return [f"this run mixes {what} ({', '.join(changes)}): its last bits are not repeatable"]
