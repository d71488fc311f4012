"""Tables, pictures and a page from a run directory."""

from __future__ import annotations

from importlib import import_module

from raybilevel.report import timeline
from raybilevel.report.page import FILE, Page, write_page
from raybilevel.report.table import print_lines
from raybilevel.result import Result

_REPORTS = {
    "reward": "raybilevel.report.reward",
    "sampling_schedule": "raybilevel.report.schedule",
    "training_schedule": "raybilevel.report.schedule",
}


def finish(result: Result) -> None:
    """Draw the run's pictures and its page into its directory, print its table to stdout."""
    report = import_module(_REPORTS[result.kind])
    report.draw(result)
    lines, history = report.lines(result), result.get_dataframe()
    result.directory.write(timeline.PICTURE.file, timeline.picture(history))
    lines += timeline.lines(history)
    title = f"{result.directory.name}: {result.kind}, {result.status}"
    write_page(
        result.directory, Page(title, lines, (*report.PICTURES, timeline.PICTURE), report.WORDS)
    )
    print_lines([*lines, ("", f"{result.path}/{FILE}")])
