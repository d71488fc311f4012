"""A schedule found by a teacher as a table and pictures: the call first, then how near it comes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.problems.schedule.teacher.comparison import (
    LEARNED,
    START,
    Metric,
    sign_of,
)
from raybilevel.problems.schedule.teacher.export import BEST_STOCK, samples_of
from raybilevel.problems.schedule.teacher.pasted import lists_of
from raybilevel.report.figure import legend_beside, png, scale_of
from raybilevel.report.next_step import mind_the_noise, or_what_helps
from raybilevel.report.page import Picture
from raybilevel.report.table import Item, Line, Table, with_error
from raybilevel.result import Result

if TYPE_CHECKING:
    import pandas as pd

_PICTURE = "pictures/schedule.png"
_SAMPLES = "pictures/samples.png"
PICTURES = (
    Picture(_PICTURE, "The noise levels visited before and after, and the distance to the teacher, "
                      "the reward, FID or KID of the list and of stock samplers at as many "
                      "evaluations."),
    Picture(_SAMPLES, "The same prompts and noises down a column."),
)  # fmt: skip
WORDS = (
    ("status", "converged: no step gains 1 %, or of what images are judged by more than twice its "
               "error; at_bound: the objective still falls at a bound; budget: it may still fall."),
    ("upper loss", "Mean squared distance to the teacher's sample of the same noise and prompt, a "
                   "number of the sample on average, of several numbers of steps the geometric "
                   "mean; or minus the mean reward, or FID or KID. With standard errors."),
    ("second extractor", "FID or KID by features that nothing was tuned on."),
    ("median", "Of the squared distances: a few samples that go elsewhere than the teacher's can "
               "make up the mean."),
    ("NFE", "Network evaluations: one a sample and step, two with classifier-free guidance."),
)  # fmt: skip
_BAND = 1.96  # standard errors, for 95 %


def draw(result: Result) -> None:
    """Draw the run's pictures into its directory, where it came to its comparison."""
    if result.directory.has("comparison.parquet"):
        result.directory.write(_PICTURE, picture(result))
        result.directory.write(_SAMPLES, samples_picture(result))


def next_steps(result: Result) -> list[Line]:
    """The calls to paste, what they are for, and whether they are told from where it began."""
    steps: list[Line] = []
    if result.directory.has("schedule.json"):
        said = _schedule(result)
        steps += [("paste", one["call"]) for one in lists_of(said)]
        steps += [("for", _key(said["key"]))]
    steps = or_what_helps(steps, result)
    if result.directory.has("comparison.parquet"):
        table = result.directory.read_frame("comparison.parquet")
        start, gap = table[table["subject"] == START], _gap_of(_metric(result))
        surest = start.loc[(start[gap].abs() - _BAND * start[f"{gap}_se"]).idxmax()]
        sign = sign_of(_metric(result))
        steps += mind_the_noise(sign * surest[gap], surest[f"{gap}_se"])
    return steps


def lines(result: Result) -> list[Item]:
    """How near the list comes, beside what, and what it cost."""
    m, summary = result.metrics, result.summary
    rows: list[Item] = [("status", f"{result.status}: {result.reason}")]
    rows += [("upper loss", with_error(m, "upper_loss"))]
    if result.directory.has("comparison.parquet"):
        rows += [_compared(table, _metric(result)) for table in _by_steps(result)]
    after = m.get("nfe_comparison") or 0
    rows += [
        ("cost", f"{summary['nfe_total'] - after:,.0f} NFE for the tuning, {after:,.0f} for the "
                 f"comparison, {summary['worker_seconds_total']:.0f} worker-seconds"),
        ("run", result.path),
    ]  # fmt: skip
    files = [_PICTURE, _SAMPLES, "comparison.parquet", "schedule.json", "pipeline/call.json"]
    return rows + [("", f"{result.path}/{f}") for f in files if result.directory.has(f)]


def _schedule(result: Result) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(result.directory.read("schedule.json"))
    return said


def _key(key: dict[str, Any]) -> str:
    """What the list is for: with another sampler it is another's."""
    revision = key["from_pretrained"].get("revision")
    commit = "" if revision is None else f" at {revision[:12]}"
    return f"{key['model']}{commit} by {key['scheduler']}, {key['dtype']}"


def _by_steps(result: Result) -> list[pd.DataFrame]:
    """A table for each number of steps, the best first."""
    metric = _metric(result)
    table = result.directory.read_frame("comparison.parquet")
    table = table.sort_values(metric or "distance", ascending=sign_of(metric) > 0)
    return [part for _, part in table.groupby("sampling_steps")]


def _compared(table: pd.DataFrame, metric: Metric | None) -> Table:
    """The learned list and all that it is compared with."""
    judged = () if metric is None else (metric,)
    second = f"{metric}_second"
    others = (second,) if second in table and table[second].notna().any() else ()
    columns = (*judged, *others, "distance", "distance_median")
    heads = (*judged, *("second extractor" for _ in others), "mean", "median")
    rows = [("sampler", "NFE", *heads, "learned minus it, 95 %")]
    for _, row in table.iterrows():
        shown = (f"{row[name]:.5f}" for name in columns)
        rows += [(row["subject"], f"{row['nfe']:.0f}", *shown, _gap(row, _gap_of(metric)))]
    about = "distance to the teacher, on noises not tuned on"
    said = "reward" if metric == "reward" else f"{metric}".upper()
    steps = table["sampling_steps"].iloc[0]
    return Table(f"{steps} steps", f"{said}, and {about}" if metric else about, rows)


def _metric(result: Result) -> Metric | None:
    """What images were judged by."""
    table = result.directory.read_frame("comparison.parquet")
    if "reward" in table:
        return "reward"
    if "fid" not in table:
        return None
    return "kid" if result.config["objective"] == "kid" else "fid"


def _gap_of(metric: Metric | None) -> str:
    """The column of gaps that counts."""
    return "gap" if metric is None else f"{metric}_gap"


def _gap(row: pd.Series, name: str) -> str:
    gap, margin = row[name], _BAND * row[f"{name}_se"]
    return "" if row["subject"] == LEARNED else f"{gap - margin:+.5f} to {gap + margin:+.5f}"


def picture(result: Result) -> bytes:
    """PNG: the sigmas visited before and after, and the distance of each subject.

    Of several numbers of steps each has a row.
    """
    from matplotlib.figure import Figure

    tables, lists = _by_steps(result), lists_of(_schedule(result))
    heights = [max(4.2, 0.22 * len(table) + 1.2) for table in tables]
    figure = Figure(figsize=(11.0, sum(heights)), layout="constrained")
    rows = figure.subplots(len(tables), 2, squeeze=False, height_ratios=heights)
    for (left, right), said, table in zip(rows, lists, tables, strict=True):
        _draw_levels(left, said)
        _draw_subjects(right, table, _metric(result))
    return png(figure)


def _draw_levels(axes: Any, said: Mapping[str, Any]) -> None:
    for name, style, label in (("before", "o--", "before"), ("visited", "o-", "learned")):
        sigmas = said[f"sigmas_{name}"]
        color = "C1" if name == "visited" else "0.6"
        axes.plot(range(1, len(sigmas) + 1), sigmas, style, color=color, label=label)
    axes.set(xlabel="sampling step", ylabel="sigma visited", yscale="log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    legend_beside(axes)


def _draw_subjects(axes: Any, table: pd.DataFrame, metric: Metric | None) -> None:
    place = np.arange(len(table))
    colors = ["C1" if name == LEARNED else "0.4" for name in table["subject"]]
    if metric is not None:
        bars = _BAND * table[f"{metric}_se"]
        axes.errorbar(table[metric], place, xerr=bars, fmt="none", ecolor="0.7", zorder=0)
        axes.scatter(table[metric], place, color=colors, s=20)
        axes.set(xlabel="mean reward" if metric == "reward" else metric.upper())
    else:
        bars = np.minimum(_BAND * table["distance_se"], 0.99 * table["distance"])
        axes.barh(place, table["distance"], xerr=bars, color=colors, error_kw={"ecolor": "0.7"})
        axes.set(xlabel="mean squared distance to the teacher", xscale=scale_of(table["distance"]))
    axes.set_yticks(place, [f"{row.subject}, {row.nfe:.0f} NFE" for row in table.itertuples()])
    axes.invert_yaxis()
    axes.tick_params(labelsize=7)


def samples_picture(result: Result) -> bytes:
    """PNG: the same prompts and noises by the list, the best stock sampler and the teacher."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    names = samples_of([len(one["sigmas_visited"]) for one in lists_of(_schedule(result))])
    figure = Figure(figsize=(8.4, 1.5 * len(names)), layout="constrained")
    for axes, name in zip(figure.subplots(len(names), 1), names, strict=True):
        axes.imshow(imread(io.BytesIO(result.directory.read(f"samples/{name}.png"))), cmap="gray")
        axes.set_title(_title(name), loc="left", fontsize=8)
        axes.set_axis_off()
    return png(figure)


def _title(name: str) -> str:
    """What a grid of samples is called: "best-stock-4" is of 4 steps."""
    kind, _, steps = name.rpartition("-") if name[-1].isdigit() else (name, "", "")
    kind = "best stock sampler" if kind == BEST_STOCK else kind
    return f"{kind}, {steps} steps" if steps else kind
