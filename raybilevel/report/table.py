"""Tables on standard output, and numbers in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raybilevel.terminal import console

Line = tuple[str, str]
"""A name and what there is to say."""


@dataclass(frozen=True)
class Table:
    """Rows of text under heads.

    Attributes
    ----------
    name : what it is of, in a word or two.
    about : how it is read.
    rows : its heads first; all of one length.
    """

    name: str
    about: str
    rows: Sequence[Sequence[str]]

    @property
    def lines(self) -> list[Line]:
        """For a terminal: the first column to the left, all others to the right."""
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        said = [self.about] if self.about else []
        for first, *others in self.rows:
            cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
            said.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
        return [(self.name, said[0]), *(("", line) for line in said[1:])]


Item = Line | Table
"""What a report says, from top to bottom."""


def in_lines(items: Sequence[Item]) -> list[Line]:
    """All of it as lines."""
    return [line for item in items for line in (item.lines if isinstance(item, Table) else [item])]


def print_lines(items: Sequence[Item]) -> None:
    """Print a run's lines and tables, names in bold."""
    from rich.text import Text

    stdout = console(soft_wrap=True)
    for name, text in in_lines(items):
        stdout.print(Text.assemble((f"{name:<16}", "bold"), text))


def with_error(m: Mapping[str, Any], name: str) -> str:
    """A number of the metrics and its standard error."""
    value, se = m.get(name), m.get(f"{name}_se")
    return "not known" if value is None or se is None else f"{value:.4f} ± {se:.4f}"
