"""A Ray of our own on this machine, which ends with the process."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import ray
from ray._common.utils import get_default_ray_temp_dir, get_default_system_temp_dir
from ray._private.utils import validate_socket_filepath

from raybilevel.errors import InputError

_MONITOR = re.compile(r"/autoscaler/(_private|v2)/monitor\.py$")
_SHORT = ("/tmp/ray", "/var/tmp/ray", "/dev/shm/ray")  # noqa: S108 - Ray makes a folder a session
_SESSION = "session_2026-01-31_23-59-59_123456_{pid}/sockets/plasma_store"

_log = logging.getLogger(__name__)


def start_local_ray() -> None:
    """Start a Ray and join it.

    Raises
    ------
    InputError
        If it cannot start here; gives its own reason.
    """
    folder = temp_dir()
    try:
        # without "local" ray.init may join whatever cluster it finds on this machine
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=folder,
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"Ray cannot start on this machine: {reason} (its files are below "
            f"{folder}); mend that, or join a cluster with --address"
        ) from error


def temp_dir() -> str:
    """Where Ray puts its files: where it would by itself, if its sockets' names fit there.

    Else a shorter place, and a warning.
    """
    usual = get_default_ray_temp_dir()
    if _sockets_fit(usual):
        return usual
    short = next((f for f in _SHORT if _sockets_fit(f) and _is_writable(Path(f))), None)
    if short is None:
        return usual
    _log.warning(
        "the temporary directory %s is too long for the names of Ray's sockets; Ray's files go "
        "to %s", get_default_system_temp_dir(), short,
    )  # fmt: skip
    return short


def _sockets_fit(folder: str) -> bool:
    try:
        validate_socket_filepath(f"{folder}/{_SESSION.format(pid=os.getpid())}")
    except OSError:
        return False
    return True


def _is_writable(folder: Path) -> bool:
    return os.access(folder if folder.exists() else folder.parent, os.W_OK | os.X_OK)


def end_local_ray() -> None:
    """End it: its autoscaler's monitor ignores SIGTERM, and `ray.shutdown` would wait 1 s."""
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if any(_MONITOR.search(part) for part in process.cmdline()):
                process.kill()
    ray.shutdown()
