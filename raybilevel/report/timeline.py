"""Who worked on a run, and when: workers over time, those that came, went and were drained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raybilevel.report.figure import png
from raybilevel.report.page import Picture
from raybilevel.report.table import Line

if TYPE_CHECKING:
    import pandas as pd

PICTURE = Picture(
    "pictures/workers.png",
    "Workers at the end of each round; those that joined, were lost, or left a drained node in it.",
)
_CHANGES = {"joined": ("^", "C2"), "lost": ("x", "C3"), "drained": ("v", "C1")}


def picture(history: pd.DataFrame) -> bytes:
    """PNG: workers over the run's time, with a mark for each round in which some came or went."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 2.4), layout="constrained")
    axes: Any = figure.subplots()
    time = history["time_total_s"]
    axes.step(time, history["num_workers"], where="post", color="0.5", lw=1)
    for name, (marker, color) in _CHANGES.items():
        _mark(axes, history, f"workers_{name}", marker=marker, color=color, label=name)
    axes.set(xlabel="seconds", ylabel="workers", ylim=(0, None))
    axes.yaxis.get_major_locator().set_params(integer=True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=7, ncols=3)
    return png(figure)


def _mark(axes: Any, history: pd.DataFrame, column: str, **style: Any) -> None:
    new = history[column].diff().fillna(history[column]) > 0
    if new.any():
        there = history[new]
        axes.plot(there["time_total_s"], there["num_workers"], ls="", ms=5, **style)


def lines(history: pd.DataFrame) -> list[Line]:
    """Who came and went, and what was done twice for it."""
    last = history.iloc[-1]
    changes = ", ".join(f"{last[f'workers_{name}']:.0f} {name}" for name in _CHANGES)
    again = f"{last['shards_retried']:.0f} shards run again, {last['nfe_repeated']:,.0f} NFE"
    return [("workers", f"{changes}; {again}")]
