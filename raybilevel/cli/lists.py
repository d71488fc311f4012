"""The list of noise levels that a run has left behind."""

from __future__ import annotations

import json
from typing import Any

from raybilevel.cli.given import named
from raybilevel.errors import InputError

_FILE = "schedule.json"


def list_of(path: str) -> dict[str, Any]:
    """What a run's `schedule.json` holds.

    Raises
    ------
    InputError
        If there is no such file, or its levels are baked into a pipeline.
    """
    directory = named(path)
    if not directory.has(_FILE):
        raise InputError(
            f"{path} has no {_FILE}; give the directory of a run with problem: sampling_schedule "
            "and objective: teacher, or a reward, that has ended"
        )
    said: dict[str, Any] = json.loads(directory.read(_FILE))
    if not said.keys() & {"call", "lists"}:
        raise InputError(
            f"the levels of {path} are baked into its pipeline, which is stock: load "
            f"{path}/pipeline; lists are what runs with objective: teacher, or a reward, leave"
        )
    return said
