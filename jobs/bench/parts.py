"""A script of several parts: those run that the command line names, or all of them."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer


def run_parts(said: str | None, *parts: Callable[[], None]) -> None:
    """Run a script that `said` describes; a part is named as its function is."""
    named = {part.__name__: part for part in parts}
    choice = StrEnum("choice", list(named))
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command(help=said)
    def main(
        parts: Annotated[list[choice] | None, typer.Argument(help="Without: all.")] = None,
    ) -> None:
        for name in parts or named:
            named[name]()

    app()
