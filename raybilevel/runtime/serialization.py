"""Sending what a user defines to another process."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import cloudpickle

from raybilevel.config import registry
from raybilevel.imports import before_library

_PIECE = 64 * 1024  # bytes; Ray sends arguments of up to 100 kB with the call itself


@dataclass(frozen=True)
class Serialized:
    """An object as bytes, which the receiver loads once its modules can be imported.

    Ray deserializes an actor's arguments before the actor can do anything, and knows only the
    script's own directory; a console script's user has modules in the current one.

    Attributes
    ----------
    data : the pickled object.
    search_path : the sender's current directory, and then its `sys.path`.
    """

    data: bytes
    search_path: tuple[str, ...]

    @classmethod
    def dump(cls, content: Any) -> Serialized:
        """Serialize an object in the process that can import what is in it."""
        data = cloudpickle.dumps((content, registry.looked_up()))
        return cls(data, (str(Path.cwd()), *filter(None, sys.path)))

    @property
    def digest(self) -> str:
        """Tells one content from another."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def pieces(self) -> list[bytes]:
        """The data in pieces that an actor which outlives its sender is started with.

        Ray leaves a large argument with its sender, and without it restarts no actor. Pieces travel
        with the call and are kept with the cluster's state, up to Ray's own limit of 10 MB.
        """
        return [self.data[i : i + _PIECE] for i in range(0, len(self.data), _PIECE)]

    def load(self) -> Any:
        """The object, in the sender's directory where this machine has it.

        Its modules are looked for where the sender's are, after this process's own places; before
        installed packages where they are before them for the sender. Registered names mean what
        they mean to the sender.
        """
        here, *places = self.search_path
        if Path(here).is_dir():
            os.chdir(here)
        first = [here, *before_library(places)]
        _add(first, len(before_library(sys.path)))
        _add(places, len(sys.path))
        content, names = cloudpickle.loads(self.data)
        registry.hand_over(names)
        return content


def _add(folders: Sequence[str], at: int) -> None:
    """Search the folders that this machine has, too."""
    new = [folder for folder in dict.fromkeys(folders) if Path(folder).exists()]
    sys.path[at:at] = [folder for folder in new if folder not in sys.path]
