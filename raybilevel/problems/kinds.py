"""What a problem is called in YAML, and back: a registered name, or an import path."""

from __future__ import annotations

import sys
from typing import Any

from raybilevel.config import registry
from raybilevel.config.settings import Settings
from raybilevel.errors import InputError
from raybilevel.imports import resolve
from raybilevel.problems.base import Problem

_WANTED = "it must be a class derived from Settings and Problem"


def kind_of(problem: Any) -> str:
    """What a problem is called: its class's registered name, else "package.module:Class".

    Raises
    ------
    InputError
        If it is no problem, or has no settings that a run directory could store.
    """
    cls = type(problem)
    if not (isinstance(problem, Problem) and isinstance(problem, Settings)):
        raise InputError(f"problem is of class {cls.__module__}:{cls.__qualname__}; {_WANTED}")
    named = cls.registered_as or registry.name_of("problems", cls)
    return named or f"{cls.__module__}:{cls.__qualname__}"


def class_of(kind: Any, where: str) -> type[Settings]:
    """The class of the problem that is called `kind`, which is a `Problem` too.

    Parameters
    ----------
    where : the file that names it, for the error's sentence.

    Raises
    ------
    InputError
        If there is none, two packages register the name, its import fails, or it is no problem.
    """
    path = kind if isinstance(kind, str) and ":" in kind else None
    cls = _at(path, where) if path else _registered(kind, where)
    if not (isinstance(cls, type) and issubclass(cls, Settings) and issubclass(cls, Problem)):
        entry = None if path else registry.find("problems", kind)
        found = f"{path!r}" if entry is None else f"{kind!r}, {entry} at '{entry.path}'"
        raise InputError(f"{where}: problem is {found}, but that is no Problem; {_WANTED}")
    return cls


def _registered(kind: Any, where: str) -> Any:
    entry = registry.find("problems", kind) if isinstance(kind, str) else None
    if entry is None:
        known = ", ".join(registry.names("problems"))
        raise InputError(
            f"{where}: problem is {kind!r}; unless it is an import path 'package.module:Class', it "
            f"must be one of {known}"
        )
    return entry.load()


def _at(path: str, where: str) -> Any:
    module, _, name = path.partition(":")
    script = module == "__main__" and not hasattr(sys.modules["__main__"], name)
    if script or "<locals>" in name:
        raise InputError(
            f"{where}: problem is '{path}', a class that no module has; put it into a module, or "
            "restore with BilevelTuner.restore(path, problem=...)"
        )
    return resolve(path, f"{where}: problem")
