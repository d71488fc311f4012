"""Tables, pictures and a page from a run directory."""

from __future__ import annotations

from importlib import import_module

from raybilevel.report import default, timeline
from raybilevel.report.page import FILE, Page, Picture, write_page
from raybilevel.report.table import print_lines
from raybilevel.result import Result
from raybilevel.runtime.storage import RunDirectory

_REPORTS = {
    "reward": "raybilevel.report.reward",
    "sampling_schedule": "raybilevel.report.schedule",
    "training_schedule": "raybilevel.report.schedule",
}


def finish(result: Result) -> None:
    """Draw the run's pictures and its page into its directory, print its table to stdout.

    A problem without a report here has the default one; what it exported as `pictures/*.png` is
    shown on the page.
    """
    has_one = result.kind in _REPORTS
    report = import_module(_report_of(result)) if has_one else default
    report.draw(result)
    steps, history = report.next_steps(result), result.get_dataframe()
    result.directory.write(timeline.PICTURE.file, timeline.picture(history))
    items = [*report.lines(result), *timeline.lines(history)]
    title = f"{result.directory.name}: {result.kind}, {result.status}"
    known = (*report.PICTURES, timeline.PICTURE)
    pictures = (*known, *_exported(result.directory, known))
    more = () if has_one else (default.table(history),)
    write_page(result.directory, Page(title, [*items, *more], pictures, report.WORDS, steps))
    print_lines([*steps, *items, ("", f"{result.path}/{FILE}")])


def _report_of(result: Result) -> str:
    """The module of a problem that has one; of schedules those with a teacher have their own."""
    if "teacher" in result.config:
        return "raybilevel.report.teacher"
    return _REPORTS[result.kind]


def _exported(directory: RunDirectory, known: tuple[Picture, ...]) -> list[Picture]:
    """Pictures that the problem itself wrote."""
    files = {f"pictures/{name}": name for name in directory.list("pictures")}
    drawn = {picture.file for picture in known}
    return [Picture(f, name) for f, name in files.items() if f not in drawn and f.endswith(".png")]
