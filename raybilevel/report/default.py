"""A run of a problem that has no report of its own: what was found, and its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.report.figure import png
from raybilevel.report.next_step import or_what_helps
from raybilevel.report.page import Picture
from raybilevel.report.table import Line, Table, with_error
from raybilevel.result import Result

if TYPE_CHECKING:
    import pandas as pd

_PICTURE = "pictures/history.png"
PICTURES = (Picture(_PICTURE, "The upper loss and the variables, round by round."),)
WORDS = (
    ("status", "converged or at_bound: the problem was done; budget: a limit was reached; stopped: "
               "the problem could not go on, and why."),
    ("upper loss", "What is minimised, and its standard error."),
    ("NFE", "Network evaluations; what ran twice is counted once."),
)  # fmt: skip
_MOST = 8  # variables that a picture has room for
_ROWS = 200  # of the history that a page has room for: the last


def draw(result: Result) -> None:
    """Draw the run's picture into its directory."""
    result.directory.write(_PICTURE, picture(result.get_dataframe()))


def next_steps(result: Result) -> list[Line]:
    """What would help."""
    return or_what_helps((), result)


def lines(result: Result) -> list[Line]:
    """The lines: what was found, what it cost, where it is."""
    found = [(name, f"{x:.6g}") for name, x in result.best_params.items()]
    return [
        ("status", f"{result.status}: {result.reason}"),
        *found,
        ("upper loss", with_error(result.metrics, "upper_loss")),
        ("cost", f"{result.summary['nfe_total']:,} NFE, "
                 f"{result.summary['worker_seconds_total']:.0f} worker-seconds"),
        ("run", result.path),
        ("", f"{result.path}/{_PICTURE}"),
    ]  # fmt: skip


def table(history: pd.DataFrame) -> Table:
    """The history as text: rounds, variables, the loss and what it cost."""
    wanted = ["training_iteration", *_variables(history), "upper_loss", "upper_loss_se"]
    columns = [name for name in [*wanted, "nfe_total"] if name in history]
    heads = tuple(name.removeprefix("config/") for name in columns)
    rows = history[columns].tail(_ROWS).itertuples(index=False)
    return Table("history", "", [heads, *(tuple(map(_text, row)) for row in rows)])


def _text(value: Any) -> str:
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return "" if np.isnan(value) else f"{value:.6g}"


def _variables(history: pd.DataFrame) -> list[str]:
    return [name for name in history if name.startswith("config/")]


def picture(history: pd.DataFrame) -> bytes:
    """PNG: a panel for the upper loss and one for each variable, over rounds."""
    from matplotlib.figure import Figure

    shown = ["upper_loss", *_variables(history)[:_MOST]]
    figure = Figure(figsize=(6.4, 2.0 * len(shown)), layout="constrained")
    for axes, name in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        axes.plot(history["training_iteration"], history[name], ".-")
        axes.set(xlabel="round", ylabel=name.removeprefix("config/"))
    return png(figure)
