"""Text for a terminal or a log, which never ends a run, whatever it says and whoever reads it."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_ERRORS = "raybilevel.other_signs"
_OTHER = {"±": "+-", "…": "...", "–": "-", "—": "-", "×": "x", "→": "->", "‘": "'", "’": "'"}


def _other_signs(error: UnicodeError) -> tuple[str, int]:
    """ASCII for what an encoding lacks; what has no near relation becomes its number."""
    assert isinstance(error, UnicodeEncodeError), "the handler is for writing alone"
    signs = error.object[error.start : error.end]
    return "".join(_OTHER.get(sign, ascii(sign)[1:-1]) for sign in signs), error.end


codecs.register_error(_ERRORS, _other_signs)


class Stream:
    """A text stream that takes everything, and goes quiet where nobody reads it any more.

    Parameters
    ----------
    stream : what is written to; None, as a process without a terminal may have it, for nothing.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:
        """Of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        """Write, with other signs where the encoding lacks them."""
        known = text.encode(self.encoding, _ERRORS).decode(self.encoding)
        with self._while_there() as stream:
            if stream is not None:
                stream.write(known)
        return len(text)

    def flush(self) -> None:
        """Flush."""
        with self._while_there() as stream:
            if stream is not None:
                stream.flush()

    @contextmanager
    def _while_there(self) -> Iterator[TextIO | None]:
        """The stream; nothing is raised where its reader has gone or its disk is full."""
        try:
            yield self._stream
        except BrokenPipeError:
            # Python itself would complain at its end about what is still buffered
            with suppress(OSError), Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
        except OSError:
            pass


def console(*, stderr: bool = False, **options: Any) -> Console:
    """A rich console on standard output or error, which never raises."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=Stream(stream), highlight=False, **options)  # type: ignore[arg-type]


def say(text: str, *, stderr: bool = False) -> None:
    """Write a line."""
    stream = Stream(sys.stderr if stderr else sys.stdout)
    stream.write(f"{text}\n")
    stream.flush()


def accept_all_signs() -> None:
    """Let this process's standard streams take what others print, too."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)
