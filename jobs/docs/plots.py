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


def kl_of_the_papers_estimator(axes: Any) -> None:
    """KL over lambda of guidance alone, and of p_x."""
    for name, table, color in (
        ("Gaussian pixels", "guided-2", "C0"),
        ("digits", "guided-3", "C1"),
        ("mnist-sd", "guided-4", "C2"),
    ):
        rows = rows_of(table)
        for what, style in (("guidance alone", "o--"), ("p_x", "o-")):
            kls = column(rows, f"KL: {what}")
            axes.plot(column(rows, "lambda"), kls, style, color=color, label=f"{name}, {what}")
    axes.set(xscale="log", yscale="log", xlabel="lambda", ylabel="KL, nats")
    axes.minorticks_off()
    ticks = (0.2, 0.5, 1, 2, 5)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def coverage(axes: Any) -> None:
    """Of intervals of lambda*, by problem, with what 100 seeds of 95 % would give."""
    rows = rows_of("estimates-2")
    axes.axvspan(90, 99, color="0.92")
    axes.axvline(95, color="0.7", lw=0.8)
    axes.plot(column(rows, "intervals cover"), [row["problem"] for row in rows], "o")
    axes.invert_yaxis()
    axes.set(xlim=(80, 100), xlabel="95 % intervals of lambda* that cover it, %")


def efficiency(axes: Any) -> None:
    """Of workers whose shards sleep, over how many there are."""
    rows = rows_of("runtime-2")
    axes.plot(column(rows, "workers"), column(rows, "efficiency"), "o-")
    axes.set(xscale="log", ylim=(0, 1.05), xlabel="workers", ylabel="efficiency")


def learned_while_training(axes: Any) -> None:
    """FID of each arm, all having cost as much."""
    rows = rows_of("training-1")
    arms = [head for head in rows[0] if head != "what"]
    for i, arm in enumerate(arms):
        places = [j + (i - (len(arms) - 1) / 2) * 0.2 for j in range(len(rows))]
        axes.bar(places, column(rows, arm), 0.18, label=arm)
    axes.set_xticks(range(len(rows)), [row["what"].replace(", ", "\n") for row in rows])
    axes.set(yscale="log", ylabel="FID")


PLOTS = {
    "annealed": gain_of_moved_samples,
    "sampling-schedules": sampling_schedules,
    "few-steps": few_steps,
    "searches": searches,
    "guided": kl_of_the_papers_estimator,
    "estimates": coverage,
    "runtime": efficiency,
    "training": learned_while_training,
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
