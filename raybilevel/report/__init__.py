"""Tables and pictures from a run directory."""

from __future__ import annotations

from importlib import import_module

from raybilevel.report.table import print_lines
from raybilevel.result import Result

_REPORTS = {"reward": "raybilevel.report.reward", "schedule": "raybilevel.report.schedule"}


def finish(result: Result) -> None:
    """Draw the run's pictures into its directory and print its table to standard output."""
    report = import_module(_REPORTS[result.kind])
    report.draw(result)
    print_lines(report.lines(result))
