"""Schedules by name: ours, and those that other packages register."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from raybilevel.config import registry
from raybilevel.errors import InputError
from raybilevel.schedules.base import Schedule


def load_schedule(name: str) -> Callable[..., Schedule]:
    """The function that makes the registered schedule `name` from its options.

    Raises
    ------
    InputError
        If there is none, its import fails, or it cannot be called.
    """
    entry = registry.find("schedules", name)
    if entry is None:
        known = ", ".join(registry.names("schedules"))
        raise InputError(f"schedule is '{name}'; the known are {known}")
    make: Callable[..., Schedule] = entry.load()
    if not callable(make):
        raise InputError(f"{entry} is {make!r}, but it must be make(**options) -> Schedule")
    return make


def _known(name: str) -> str:
    if registry.find("schedules", name) is None:
        *first, last = (f"'{known}'" for known in registry.names("schedules"))
        known = {"known": f"{', '.join(first)} or {last}"}
        raise PydanticCustomError("schedule_name", "Input should be {known}", known)
    return name


ScheduleName = Annotated[str, AfterValidator(_known)]
"""A setting that names a registered schedule."""
