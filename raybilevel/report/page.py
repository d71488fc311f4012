"""One page of HTML with everything in it: opens anywhere, without a network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from raybilevel.report.table import Item, Line, Table

if TYPE_CHECKING:
    from raybilevel.runtime.storage import RunDirectory

FILE = "report.html"


@dataclass(frozen=True)
class Picture:
    """A PNG of the directory, and what it shows."""

    file: str
    caption: str


@dataclass(frozen=True)
class Page:
    """What a page holds.

    Attributes
    ----------
    title : its heading.
    items : names and texts, of which a nameless one belongs to the one before; and tables.
    pictures : those that are there are shown.
    words : what has to be known to read it, and what it means.
    next_steps : what to do, before all else.
    """

    title: str
    items: Sequence[Item]
    pictures: Sequence[Picture]
    words: Sequence[Line]
    next_steps: Sequence[Line] = ()

    @property
    def tables(self) -> list[Table]:
        """Its tables, one below the other."""
        return [item for item in self.items if isinstance(item, Table)]

    @property
    def lines(self) -> list[Line]:
        """All that is no table."""
        return [item for item in self.items if not isinstance(item, Table)]


def write_page(directory: RunDirectory, page: Page) -> None:
    """Write `report.html` into a run's or a comparison's directory."""
    from jinja2 import Environment

    template = files("raybilevel.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    shown = [
        {"caption": p.caption, "data": base64.b64encode(directory.read(p.file)).decode()}
        for p in page.pictures
        if directory.has(p.file)
    ]
    html = Environment(autoescape=True).from_string(template).render(
        page=page, steps=_grouped(page.next_steps), groups=_grouped(page.lines), pictures=shown,
        config=directory.read("config.yaml").decode(),
    )  # fmt: skip
    directory.write(FILE, html.encode())


def _grouped(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Nameless lines joined to the named one before them."""
    groups: list[tuple[str, list[str]]] = []
    for name, text in lines:
        if name or not groups:
            groups.append((name, []))
        groups[-1][1].append(text)
    return [(name, "\n".join(texts)) for name, texts in groups]
