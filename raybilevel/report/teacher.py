"""A schedule found by a teacher as a table and pictures: the call first, then how near it comes."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.problems.schedule.teacher.comparison import LEARNED, START
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
    Picture(_PICTURE, "The noise levels visited before and after, and the distance to the teacher "
                      "of the list and of stock samplers at as many evaluations."),
    Picture(_SAMPLES, "The same prompts and noises down a column."),
)  # fmt: skip
WORDS = (
    ("status", "converged: no step gains more than its error; at_bound: the distance still falls "
               "at a bound; budget: it may still fall."),
    ("upper loss", "Mean squared distance to the teacher's sample of the same noise and prompt, a "
                   "number of the sample on average, and its standard error."),
    ("median", "Of the squared distances: a few samples that go elsewhere than the teacher's can "
               "make up the mean."),
    ("NFE", "Network evaluations: one a sample and step, two with classifier-free guidance."),
)  # fmt: skip
_BAND = 1.96  # standard errors, for 95 %
_TITLES = (("learned", LEARNED), ("best-stock", "best stock sampler"), ("teacher", "teacher"))


def draw(result: Result) -> None:
    """Draw the run's pictures into its directory, where it came to its comparison."""
    if result.directory.has("comparison.parquet"):
        result.directory.write(_PICTURE, picture(result))
        result.directory.write(_SAMPLES, samples_picture(result))


def next_steps(result: Result) -> list[Line]:
    """The call to paste, what it is for, and whether it is told apart from where it began."""
    steps: list[Line] = []
    if result.directory.has("schedule.json"):
        said = _schedule(result)
        steps += [("paste", said["call"]), ("for", _key(said["key"]))]
    steps = or_what_helps(steps, result)
    if result.directory.has("comparison.parquet"):
        table = result.directory.read_frame("comparison.parquet").set_index("subject")
        if START in table.index:
            steps += mind_the_noise(table["gap"][START], table["gap_se"][START])
    return steps


def lines(result: Result) -> list[Item]:
    """How near the list comes, beside what, and what it cost."""
    m, summary = result.metrics, result.summary
    rows: list[Item] = [("status", f"{result.status}: {result.reason}")]
    rows += [("upper loss", with_error(m, "upper_loss"))]
    if result.directory.has("comparison.parquet"):
        rows += [_compared(result.directory.read_frame("comparison.parquet"))]
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


def _compared(table: pd.DataFrame) -> Table:
    """The learned list and all that it is compared with, the nearest first."""
    rows = [("sampler", "NFE", "mean", "median", "learned minus it, 95 %")]
    for _, row in table.sort_values("distance").iterrows():
        numbers = (f"{row['nfe']:.0f}", f"{row['distance']:.5f}", f"{row['distance_median']:.5f}")
        rows += [(row["subject"], *numbers, _gap(row))]
    return Table("distance", "to the teacher, on noises not tuned on", rows)


def _gap(row: pd.Series) -> str:
    gap, margin = row["gap"], _BAND * row["gap_se"]
    return "" if row["subject"] == LEARNED else f"{gap - margin:+.5f} to {gap + margin:+.5f}"


def picture(result: Result) -> bytes:
    """PNG: the sigmas visited before and after, and the distance of each subject."""
    from matplotlib.figure import Figure

    table = result.directory.read_frame("comparison.parquet").sort_values("distance")
    figure = Figure(figsize=(11.0, max(4.2, 0.22 * len(table) + 1.2)), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_levels(left, _schedule(result))
    _draw_distances(right, table)
    return png(figure)


def _draw_levels(axes: Any, said: dict[str, Any]) -> None:
    for name, style, label in (("before", "o--", "before"), ("visited", "o-", "learned")):
        sigmas = said[f"sigmas_{name}"]
        color = "C1" if name == "visited" else "0.6"
        axes.plot(range(1, len(sigmas) + 1), sigmas, style, color=color, label=label)
    axes.set(xlabel="sampling step", ylabel="sigma visited", yscale="log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    legend_beside(axes)


def _draw_distances(axes: Any, table: pd.DataFrame) -> None:
    place = np.arange(len(table))
    colors = ["C1" if name == LEARNED else "0.4" for name in table["subject"]]
    bars = np.minimum(_BAND * table["distance_se"], 0.99 * table["distance"])
    axes.barh(place, table["distance"], xerr=bars, color=colors, error_kw={"ecolor": "0.7"})
    axes.set_yticks(place, [f"{row.subject}, {row.nfe:.0f} NFE" for row in table.itertuples()])
    axes.invert_yaxis()
    axes.set(xlabel="mean squared distance to the teacher", xscale=scale_of(table["distance"]))
    axes.tick_params(labelsize=7)


def samples_picture(result: Result) -> bytes:
    """PNG: the same prompts and noises by the list, the best stock sampler and the teacher."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    figure = Figure(figsize=(8.4, 1.5 * len(_TITLES)), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(len(_TITLES), 1), _TITLES, strict=True):
        axes.imshow(imread(io.BytesIO(result.directory.read(f"samples/{name}.png"))), cmap="gray")
        axes.set_title(title, loc="left", fontsize=8)
        axes.set_axis_off()
    return png(figure)
