"""A terminal to print to, and what stands on its screen in the end."""

import os
import pty
import re
import sys

_WIDTH = 120


class Terminal:
    """In place of standard error from now on, until `monkeypatch` takes it back."""

    def __init__(self, monkeypatch):
        self._ours, theirs = pty.openpty()
        monkeypatch.setenv("COLUMNS", str(_WIDTH))
        monkeypatch.setattr(sys, "stderr", os.fdopen(theirs, "w"))

    def lines(self):
        """What one sees, with nobody writing any more; the terminal is closed."""
        sys.stderr.close()
        seen = b""
        while not seen.endswith(b"closed"):
            try:
                seen += os.read(self._ours, 65536)
            except OSError:  # all is read
                seen += b"closed"
        os.close(self._ours)
        return _screen(seen.removesuffix(b"closed").decode())


def _screen(text):
    """Lines of a screen after carriage returns, cleared lines, and moves upwards."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\r":
            column = 0
        elif part.endswith("2K"):
            lines[row] = ""
        elif re.fullmatch(r"\x1b\[\d+A", part):
            row -= int(part[2:-1])
        elif not part.startswith("\x1b"):
            before = lines[row].ljust(column)
            lines[row] = before[:column] + part + before[column + len(part) :]
            column += len(part)
    return [line for line in lines if line]
