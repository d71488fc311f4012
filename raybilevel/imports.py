"""Import paths: "package.module:name", resolved from the current directory too."""

from __future__ import annotations

import gc
import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

from raybilevel.errors import InputError


def search_here() -> None:
    """Let imports see the current directory, which a console script leaves out of `sys.path`."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def search_beside(file: Path) -> None:
    """Let imports see the folder of a file, after the current directory."""
    search_here()
    folder = str(file.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(1, folder)


def before_library(search_path: Sequence[str]) -> list[str]:
    """The folders of a `sys.path` that come before Python's own: what lies there is found first."""
    own = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return list(takewhile(lambda path: not path.endswith(own), search_path))


def resolve(path: str, where: str) -> Any:
    """The object at "package.module:name".

    Parameters
    ----------
    where : the argument that holds the path, for the error's sentence.

    Raises
    ------
    InputError
        If the path has another form, or leads nowhere.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise InputError(
            f"{where} is '{path}', but an import path looks like 'package.module:name'"
        )
    search_here()
    passing = (ImportError, SyntaxError)
    try:
        with said_in_a_sentence(f"{where} '{path}'", "its import", passing=passing):
            module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"{where} is '{path}', but importing '{module_name}' from {Path.cwd()} fails: {error}"
        ) from error
    except SyntaxError as error:
        raise InputError(
            f"{where} is '{path}', but {error.filename}:{error.lineno} is no Python: {error.msg}"
        ) from error
    if not hasattr(module, name):
        raise InputError(f"{where} is '{path}', but module '{module_name}' has no '{name}'")
    return getattr(module, name)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Leave Python's cyclic garbage collector out while packages are imported.

    Modules are made of objects that stay. The collector would go through all that are there again
    and again: ray, torch and diffusers take 5.3 CPU seconds to import with it, and 4.3 without.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def said_in_a_sentence(
    where: str, given: str, passing: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Run a user's code on a probe; what it raises becomes one sentence with the code's line.

    Parameters
    ----------
    where : what the user named.
    given : what it is tried on.
    passing : errors that go on as they are.

    Raises
    ------
    InputError
        If the code inside raises.
    """
    try:
        yield
    except Exception as error:  # whatever a user's code may raise
        if isinstance(error, (InputError, *passing)):
            raise
        raise InputError(f"{where} failed on {given}: {in_one_line(error)}") from error


def in_one_line(error: Exception) -> str:
    """What was raised, and by which line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} ({last.filename}:{last.lineno})"
