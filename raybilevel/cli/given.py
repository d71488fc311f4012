"""What a command is given: a configuration file, or the directory of what goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raybilevel import config_file
from raybilevel.errors import InputError
from raybilevel.runtime.storage import BEGUN, RunDirectory, absolute
from raybilevel.stored_config import stored_config

_STORED = "config.yaml"


def read_given(given: str, overrides: Sequence[str], *, resume: bool) -> dict[str, Any]:
    """The mapping that describes what a command is to do.

    Parameters
    ----------
    given : a YAML file; or, to go on, the directory of a run or a comparison, or the
        `config.yaml` in it. What it stores of its name and place is then put right: it may have
        been moved or renamed.
    overrides : `key=value`, on top.

    Raises
    ------
    InputError
        What `config_file.read_tree` raises; and for a directory that nobody asked to go on with.
    """
    directory = _directory(given, resume=resume)
    if directory is None:
        return config_file.read_tree(Path(given), overrides)
    if not resume:
        raise InputError(
            f"{directory.path} is the directory of a run; go on with it (--resume), or give a "
            "configuration file"
        )
    tree = config_file.overridden(stored_config(directory), overrides)
    run = tree.get("run") or {}
    place = {"name": directory.name, "storage_path": directory.storage_path}
    return {**tree, "run": {**run, **place}}


def named(given: str) -> RunDirectory:
    """The directory of a run or a comparison by its path, or by its name below `runs/`."""
    there, below = (RunDirectory.at(absolute(path)) for path in (given, f"runs/{given}"))
    return below if "/" not in given and below.exists() and not there.exists() else there


def _directory(given: str, *, resume: bool) -> RunDirectory | None:
    """The directory of a run that is meant, if it is one."""
    if given.rpartition("/")[2] == _STORED and resume:
        folder = RunDirectory.at(absolute(given.rpartition("/")[0] or "."))
        return folder if folder.has(BEGUN) or folder.list("runs") else None
    if given.endswith((".yaml", ".yml")):
        return None
    folder = named(given)
    return folder if folder.exists() else None
