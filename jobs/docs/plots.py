"""Draw the pictures of the pages of results, from the numbers in their tables.

python jobs/docs/plots.py
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[2] / "docs" / "results"
_SIZE = (6.4, 3.4)


def rows_of(name: str) -> list[dict[str, str]]:
    """A table's rows, by its heads."""
    with (RESULTS / "data" / f"{name}.csv").open(newline="") as file:
        heads, *rows = csv.reader(file)
    assert len(set(heads)) == len(heads), f"{name} has heads of one name"
    return [dict(zip(heads, row, strict=True)) for row in rows]


def number(text: str) -> float:
    """The first number of a cell, without the commas between its thousands."""
    found = re.search(r"-?[\d,]+(?:\.\d+)?", text)
    assert found, f"'{text}' has a number"
    return float(found[0].replace(",", ""))


def column(rows: Sequence[dict[str, str]], name: str) -> list[float]:
    """Its numbers."""
    return [number(row[name]) for row in rows]


def gain_of_moved_samples(axes: Any) -> None:
    """NFE of p0 over NFE of moved samples, over p0's effective share."""
    rows = rows_of("annealed-1")
    for name in dict.fromkeys(row["oracle"] for row in rows):
        mine = [row for row in rows if row["oracle"] == name]
        axes.plot(
            column(mine, "effective samples of p0"),
            column(mine, "gain: dF/dlambda"),
            "o-",
            label=name,
        )
    axes.axhline(1, color="0.7", lw=0.8)
    axes.set(xscale="log", yscale="log", xlabel="effective samples of p0, %",
             ylabel="NFE of p0 over moved, dF/dlambda")  # fmt: skip
    axes.invert_xaxis()


def sampling_schedules(axes: Any) -> None:
    """FID over steps, learned and the best stock schedule."""
    for name, table, color in (
        ("digits", "sampling-schedules-1", "C0"),
        ("mnist5k-16", "sampling-schedules-2", "C1"),
    ):
        rows = rows_of(table)
        for head, style in (("best stock", "o--"), ("learned", "o-")):
            steps = column(rows, "steps")
            axes.plot(steps, column(rows, head), style, color=color, label=f"{name}, {head}")
    axes.set(yscale="log", xlabel="sampling steps", ylabel="FID")


def few_steps(axes: Any) -> None:
    """Mean squared distance to 50 steps, over steps."""
    rows = rows_of("few-steps-1")
    steps = column(rows, "steps")
    for head, name, style in (
        ("best rival: mean, median", "best of 67 stock samplers", "o--"),
        ("learned: mean, median", "learned", "o-"),
    ):
        means = [float(re.findall(r"0\.\d+", row[head])[0]) for row in rows]
        axes.plot(steps, means, style, label=name)
    axes.set(yscale="log", xlabel="sampling steps", ylabel="mean squared distance")


def searches(axes: Any) -> None:
    """NFE that each method had spent when it stayed within 1 % of the best lambda."""
    rows = [row for row in rows_of("searches-1") if row["NFE to 1 %"] != "never"]
    rows.sort(key=lambda row: number(row["NFE to 1 %"]))
    colors = ["C1" if row["method"] == "bilevel" else "0.5" for row in rows]
    axes.barh([row["method"] for row in rows], column(rows, "NFE to 1 %"), color=colors)
    axes.invert_yaxis()
    axes.set(xlabel="NFE to within 1 % of the best")


PLOTS = {
    "annealed": gain_of_moved_samples,
    "sampling-schedules": sampling_schedules,
    "few-steps": few_steps,
    "searches": searches,
}


def main() -> None:
    """Draw all of them."""
    for name, draw in PLOTS.items():
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.savefig(RESULTS / f"{name}.png", dpi=120)


if __name__ == "__main__":
    main()
