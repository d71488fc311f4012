"""Tables on standard output, and numbers in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raybilevel.terminal import console

Line = tuple[str, str]
"""A name and what there is to say."""


def print_lines(lines: Sequence[Line]) -> None:
    """Print a run's lines, names in bold."""
    from rich.text import Text

    stdout = console(soft_wrap=True)
    for name, text in lines:
        stdout.print(Text.assemble((f"{name:<16}", "bold"), text))


def with_error(m: Mapping[str, Any], name: str) -> str:
    """A number of the metrics and its standard error."""
    value, se = m.get(name), m.get(f"{name}_se")
    return "not known" if value is None or se is None else f"{value:.4f} ± {se:.4f}"
