"""A comparison as a table and pictures: who found what, at what cost, where in x they went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.report.figure import legend_beside, png, scale_of
from raybilevel.report.page import FILE, Page, Picture, write_page
from raybilevel.report.standing import DEFAULT, FOLLOWED, regrets, standings
from raybilevel.report.table import Item, Line, Table, print_lines
from raybilevel.stored_config import stored_config

if TYPE_CHECKING:
    import pandas as pd

    from raybilevel.runtime.storage import RunDirectory

PROGRESS = "pictures/progress.png"
RIVALS = "rivals.parquet"
PLACES = "pictures/places.png"
PICTURES = (
    Picture(
        PROGRESS,
        "How good what each method would have ended with is, over what it had spent: "
        "means, and bands over all seeds.",
    ),
    Picture(PLACES, "Where each method asked (dots), and what it ended with (discs)."),
)
WORDS = (
    ("score", "The objective at what a method found, on the same samples for all, which none has "
              "seen; lower is better. In brackets a 95 % bootstrap interval over seeds."),
    ("bilevel minus it", "Paired over seeds, 95 % bootstrap interval: below zero, following the "
                         "gradient found better."),
    ("NFE", "All network evaluations of a method: pools, warm-ups, stopped trials, evaluations; "
            "scoring is charged to nobody."),
    ("NFE to its level", "Median over seeds of what a method had spent when it first would have "
                         "ended as well as the bilevel method did with the same seed."),
    ("bilevel to its end", "The other way round: what the bilevel method had spent when it first "
                           "would have ended as well as this method did at last."),
    ("ways to draw", "At what the bilevel method found with its first seed: p_x itself, by its "
                     "run's samples, and other ways to draw by the same reward for as many NFE. A "
                     "higher reward at a higher KL is no better way, but a smaller lambda."),
    ("regret of 1 %", "From there on within 1 % of the way from the initial variables to the best "
                      "that any method found."),
)  # fmt: skip
_LEAST = 1e-3  # share of all scores' span below which differences are not shown
_WIDE = 20  # times the least value is the greatest, from where on an axis is logarithmic
_MOST = 12  # variables that a picture has room for


def is_one(directory: RunDirectory) -> bool:
    """Whether a directory is a comparison's.

    Raises
    ------
    InputError
        If there is nothing, or of another format, or a comparison that has not ended.
    """
    if "compare" not in stored_config(directory):
        return False
    if not directory.has("scores.parquet"):
        raise InputError(
            f"the comparison in {directory.path} has not ended; go on with raybilevel compare "
            "--resume"
        )
    return True


def finish(directory: RunDirectory) -> None:
    """Write the table and the pictures into the comparison's directory, and print the table."""
    rows, scores = (directory.read_frame(f"{name}.parquet") for name in ("comparison", "scores"))
    table = standings(rows, scores)
    directory.write_frame("table.parquet", table)
    directory.write(PROGRESS, progress_picture(scores))
    directory.write(PLACES, places_picture(rows, scores))
    methods = Table("methods", "", _cells(table))
    steps, items = _next_steps(table), [methods, *_more(table, scores), *_rivals(directory)]
    title = f"{directory.name}: a comparison"
    write_page(directory, Page(title, items, PICTURES, WORDS, steps))
    print_lines([*steps, *items, *_where(directory)])


def _next_steps(table: pd.DataFrame) -> list[Line]:
    """Which method ended best, and whether that is told apart from the bilevel method's end."""
    best = table.iloc[0]
    said = f"{best['method']}, for {best['nfe_total']:,.0f} NFE"
    if best["method"] != FOLLOWED and "gap_low" in table:
        how = "better than" if best["gap_low"] > 0 else "not told apart from"
        said += f": {how} the bilevel method"
    return [("the best", said)]


def _cells(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """The table as text, the best method first, under its heads."""
    heads = ("method", "score, 95 %", "bilevel minus it", "NFE", "worker-s", "wall s",
             "NFE to its level", "bilevel to its end")  # fmt: skip
    return [heads, *(_row(r) for _, r in table.iterrows())]


def _row(r: pd.Series) -> tuple[str, ...]:
    gap = "" if r["method"] == FOLLOWED else _interval(r["gap_low"], r["gap_high"], r["gap"])
    failed = f" ({r['failed']} trials failed)" if r["failed"] else ""
    costs = (f"{r[name]:,.0f}" for name in ("nfe_total", "worker_seconds_total", "time_total_s"))
    score = f"{r['score']:.4f} {_interval(r['score_low'], r['score_high'])}"
    back = "" if r["method"] == FOLLOWED else _cost(r, "bilevel_nfe", "bilevel_reached")
    reached = _cost(r, "nfe_to_level", "reached")
    return f"{r['method']}{failed}", score, gap, *costs, reached, back


def _rivals(directory: RunDirectory) -> list[Item]:
    """Other ways to draw by the reward, where they were asked for."""
    if not directory.has(RIVALS):
        return []
    frame = directory.read_frame(RIVALS)
    rewards = [c for c in frame if f"{c}_se" in frame]
    heads = ("drawn by", "NFE", "samples an image", *rewards, "KL")
    rows = [heads, *(_way(r, rewards) for _, r in frame.iterrows())]
    return [Table("ways to draw", "", rows)]


def _way(r: pd.Series, rewards: list[str]) -> tuple[str, ...]:
    each = r["samples_an_image"]
    told = (f"{r[c]:.4g} +- {r[f'{c}_se']:.2g}" for c in rewards)
    kl = "" if np.isnan(r["kl"]) else f"{r['kl']:.3g} "
    return (
        r["way"],
        f"{r['nfe']:,.0f}",
        "" if np.isnan(each) else f"{each:.0f}",
        *told,
        f"{kl}({r['kl_is']})",
    )


def _more(table: pd.DataFrame, scores: pd.DataFrame) -> list[Line]:
    """Where in x every method ended, and what it spent until it was near the best."""
    found = scores.groupby(["method", "seed"], sort=False).tail(1)
    places = [f"{m}: {_best(found[found['method'] == m])}" for m in table["method"]]
    rows = [("best", places[0]), *(("", place) for place in places[1:])]
    if DEFAULT in set(scores["method"]):
        rows += _regret_lines(scores, list(table["method"]))
    return rows


def _where(directory: RunDirectory) -> list[Line]:
    files = (PROGRESS, PLACES, FILE)
    return [("comparison", directory.path), *(("", f"{directory.path}/{file}") for file in files)]


def _regret_lines(scores: pd.DataFrame, methods: list[str]) -> list[Line]:
    """What each method spent until it stayed within 1 % of the best."""
    costs = regrets(scores).groupby("method", sort=False)[["nfe", "upper_evaluations"]].median()
    said = []
    for method in methods:
        nfe, evaluations = costs.loc[method] if method in costs.index else (np.inf, np.inf)
        never = np.isinf(nfe)
        cost = "never" if never else f"{nfe:,.0f} NFE, {evaluations:,.0f} upper evaluations"
        said.append(f"{method}: {cost}")
    return [("regret of 1 %", said[0]), *(("", line) for line in said[1:])]


def _interval(low: float, high: float, mean: float | None = None) -> str:
    if np.isnan(low):
        return "" if mean is None else f"{mean:+.4f}"
    return f"({low:.4f} to {high:.4f})" if mean is None else f"{low:+.4f} to {high:+.4f}"


def _cost(r: pd.Series, nfe: str, reached: str) -> str:
    if np.isinf(r[nfe]):
        return "never" if not r[reached] else f"never in {r['seeds'] - r[reached]:.0f}"
    return f"{r[nfe]:,.0f}"


def _best(found: pd.DataFrame) -> str:
    """Where a method ended, by variable: medians over seeds, and from where to where."""
    parts = []
    for column in _variables(found)[:_MOST]:
        low, middle, high = found[column].quantile([0, 0.5, 1])
        parts.append(f"{column.removeprefix('config/')} {middle:.3g} ({low:.3g} to {high:.3g})")
    return ", ".join(parts)


def _variables(frame: pd.DataFrame) -> list[str]:
    return [column for column in frame if column.startswith("config/")]


def progress_picture(scores: pd.DataFrame) -> bytes:
    """PNG: the score of what each method would have ended with, over NFE.

    Above the best score of all; means over seeds, and bands from the least to the greatest.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.0), layout="constrained")
    axes = figure.subplots()
    best, span = scores["score"].min(), np.ptp(scores["score"])
    scores = scores.assign(score=np.maximum(scores["score"] - best, _LEAST * span))
    cost, label = _cost_axis(scores)
    grid = np.geomspace(max(scores[cost].min(), 1), scores[cost].max(), 200)
    for i, (method, rows) in enumerate(scores.groupby("method", sort=False)):
        curves = np.array([_steps(mine, cost, grid) for _, mine in rows.groupby("seed")])
        known = ~np.isnan(curves).any(axis=0)
        colour = {"color": "k", "lw": 2.5} if method == FOLLOWED else {"color": f"C{i % 10}"}
        axes.plot(grid[known], curves[:, known].mean(axis=0), label=method, **colour)
        axes.fill_between(
            grid[known], curves[:, known].min(axis=0), curves[:, known].max(axis=0),
            alpha=0.12, color=colour["color"], lw=0,
        )  # fmt: skip
    axes.set(xscale="log", xlabel=label, ylabel=f"score above the best of all, {best:.4g}")
    axes.set_yscale(scale_of(scores["score"]))
    legend_beside(axes)
    return png(figure)


def _cost_axis(rows: pd.DataFrame) -> tuple[str, str]:
    """The column that says what was spent, and its name: of a table evaluations alone."""
    if rows["nfe_total"].max() > 0:
        return "nfe_total", "NFE"
    return "upper_evaluations", "upper evaluations"


def _steps(rows: pd.DataFrame, cost: str, grid: np.ndarray) -> np.ndarray:
    """The score (len(grid),) at each cost: nan before the first result."""
    costs, values = rows[cost].to_numpy(float), rows["score"].to_numpy(float)
    place = np.searchsorted(costs, grid, side="right") - 1
    return np.where(place < 0, np.nan, values[place])


def places_picture(rows: pd.DataFrame, scores: pd.DataFrame) -> bytes:
    """PNG: a panel for each variable; every x that a method asked about, and what it ended with."""
    from matplotlib.figure import Figure

    variables = _variables(rows)[:_MOST]
    across = min(4, len(variables))
    down = -(-len(variables) // across)
    figure = Figure(figsize=(3.6 * across + 1.6, 3.0 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    last = scores.groupby(["method", "seed"], sort=False).tail(1)
    for axes, column in zip(panels, variables, strict=False):
        _draw_places(axes, rows, last, column)
    for axes in panels[len(variables) :]:
        axes.set_axis_off()
    figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, loc="outside right center")
    return png(figure)


def _draw_places(axes: Any, rows: pd.DataFrame, last: pd.DataFrame, column: str) -> None:
    cost, label = _cost_axis(rows)
    for i, (method, mine) in enumerate(rows.groupby("method", sort=False)):
        colour = "k" if method == FOLLOWED else f"C{i % 10}"
        axes.plot(mine[cost], mine[column], ".", ms=3, alpha=0.4, color=colour)
        ends = last[last["method"] == method]
        axes.plot(ends[cost], ends[column], "o", color=colour, label=str(method))
    axes.set(xscale="log", xlabel=label, ylabel=column.removeprefix("config/"))
    if rows[column].min() > 0 and rows[column].max() > _WIDE * rows[column].min():
        axes.set_yscale("log")
