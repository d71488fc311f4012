"""The user's cache folder: what is dear to make is made once and kept there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_dir


def cache_folder() -> Path:
    """`$RAYBILEVEL_CACHE` where it is set, else the platform's cache folder; not created here."""
    return Path(os.environ.get("RAYBILEVEL_CACHE") or user_cache_dir("raybilevel"))


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Give the cached file or folder `name`, made by `make` if it is not there yet.

    Processes that ask at the same time wait for one of them; a maker that is killed or raises
    leaves nothing under `name`.

    Parameters
    ----------
    name
        One path component. It must carry a version of how the thing is made, since what is there
        is never made again.
    make
        Writes the file or folder to the path that it is given, which does not exist yet.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    if target.exists():
        return target
    with FileLock(folder / f".{name}.lock"):
        if not target.exists():
            _make(folder, target, make)
    return target


def _make(folder: Path, target: Path, make: Callable[[Path], None]) -> None:
    # A sibling, so that the rename stays on one file system and is atomic.
    workshop = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=folder))
    try:
        made = workshop / target.name
        make(made)
        made.rename(target)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
