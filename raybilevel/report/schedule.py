"""A schedule run as a table and pictures: levels, FID beside stock ones, samples of one noise."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.problems.schedule.comparison import INITIAL, LEARNED, NEAREST, OURS
from raybilevel.report import training
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
    Picture(_PICTURE, "The noise levels visited before and after, and FID over sampling steps."),
    Picture(_SAMPLES, "The same noises through other levels, and the learned ones."),
    Picture(training.PICTURE, "Levels and training loss over rounds, the objective over NFE."),
)
WORDS = (
    ("status", "converged: the mean gradient cannot be told from zero; at_bound, budget: the "
               "objective still falls; stopped: training came to nothing."),
    ("upper loss", "The objective, FID without its bias of order 1/n or KID, and its standard "
                   "error."),
    ("FID", "To the training data, on noises that nobody tuned on; real against real is what "
            "held-out images get."),
    ("second extractor", "A judge that was never optimised."),
    ("NFE", "Network evaluations: one a sample and step, three a training sample."),
)  # fmt: skip
_BAND = 1.96  # standard errors, for 95 %


def draw(result: Result) -> None:
    """Draw the run's pictures into its directory, where it came to its comparison."""
    if result.directory.has("comparison.parquet"):
        result.directory.write(_PICTURE, picture(result))
        result.directory.write(_SAMPLES, samples_picture(result))
    if "lower_loss" in result.get_dataframe():
        result.directory.write(training.PICTURE, training.picture(result))


def next_steps(result: Result) -> list[Line]:
    """The pipeline to load, and whether its levels are told apart from where they began."""
    steps: list[Line] = []
    if result.directory.has("schedule.json"):
        count = len(_levels(result)["levels"])
        loaded = f'DiffusionPipeline.from_pretrained("{result.path}/pipeline")'
        steps += [("use", f"{loaded}(batch_size=16, num_inference_steps={count})")]
    steps = or_what_helps(steps, result)
    if result.directory.has("comparison.parquet"):
        here = _here(result.directory.read_frame("comparison.parquet")).set_index("subject")
        begun = _begun(here)
        if begun is not None:
            steps += mind_the_noise(begun["fid_gap"], begun["fid_gap_se"])
    return steps


def _begun(here: pd.DataFrame) -> pd.Series | None:
    """The row of where the search began; None where it is not compared."""
    for name in (INITIAL, NEAREST):
        if name in here.index:
            return here.loc[name]
    return None


def _levels(result: Result) -> dict[str, list[float]]:
    said: dict[str, list[float]] = json.loads(result.directory.read("schedule.json"))
    return said


def lines(result: Result) -> list[Item]:
    """What was found, beside what, how sure it is, what it cost, where it is."""
    m, summary = result.metrics, result.summary
    rows: list[Item] = [("status", f"{result.status}: {result.reason}")]
    if result.directory.has("schedule.json"):
        levels = _levels(result)["levels"]
        rows += [("log-SNR visited", ", ".join(f"{level:.3f}" for level in levels))]
    rows += [("upper loss", with_error(m, "upper_loss"))]
    if result.directory.has("comparison.parquet"):
        rows += _compared(result)
    history = result.get_dataframe()
    if "lower_loss" in history:
        rows += training.lines(history)
    tuning = summary["nfe_total"] - (m.get("nfe_comparison") or 0)
    rows += [
        ("cost", f"{tuning:,.0f} NFE for the tuning, {m.get('nfe_comparison') or 0:,.0f} for the "
                 f"comparison, {summary['worker_seconds_total']:.0f} worker-seconds"),
        ("run", result.path),
    ]  # fmt: skip
    files = [_PICTURE, _SAMPLES, training.PICTURE, "comparison.parquet", "network", "pipeline"]
    there = [f for f in files if result.directory.has(f) or _is_pipeline(result, f)]
    return rows + [("", f"{result.path}/{f}") for f in there]


def _is_pipeline(result: Result, name: str) -> bool:
    return result.directory.has(f"{name}/model_index.json")


def _here(table: pd.DataFrame) -> pd.DataFrame:
    """Learned levels and every stock scheduler of the same number of steps, the best first."""
    return table[table["steps"] == table.iloc[0]["steps"]].sort_values("fid")


def _compared(result: Result) -> list[Item]:
    """FID of each at as many steps, by both extractors, and KID of the learned and the best."""
    here, m = _here(result.directory.read_frame("comparison.parquet")), result.metrics
    learned = here[here["subject"] == LEARNED].iloc[0]
    has_images = bool(np.isfinite(here["kid"]).all())
    heads = ("schedule", "FID", "learned minus it, 95 %", "second extractor", "learned minus it")
    found = [heads, *(_of_subject(row) for _, row in here.iterrows())]
    rows: list[Item] = [
        Table("FID", _heading(m, has_images), [r if has_images else r[:3] for r in found])
    ]
    if has_images:
        best = _best(here, "kid")
        rows += [("KID", f"to held-out data: learned {learned['kid']:.3f}, best stock "
                         f"{best['kid']:.3f} ({best['subject']})")]  # fmt: skip
    return rows


def _of_subject(row: pd.Series) -> tuple[str, ...]:
    by_both = ((f"{row[f'fid{judge}']:.3f}", _gap(row, "fid", judge)) for judge in ("", "_second"))
    return row["subject"], *(cell for cells in by_both for cell in cells)


def _heading(m: dict[str, Any], has_images: bool) -> str:
    """What the numbers of FID are, and what real images would get, where there are some."""
    read = "on noises not tuned on"
    if not has_images:
        return f"to the reference statistics, {read}"
    floors = f"{m['fid_floor']:.3f} and {m['fid_second_floor']:.3f}"
    real = f"real against real {floors} by the two extractors"
    return f"to the training data, {read}; {real}"


def _gap(row: pd.Series, metric: str, judge: str) -> str:
    gap, margin = row[f"{metric}_gap{judge}"], _BAND * row[f"{metric}_gap_se{judge}"]
    return "" if row["subject"] == LEARNED else f"{gap - margin:+.3f} to {gap + margin:+.3f}"


def _best(table: pd.DataFrame, metric: str = "fid") -> pd.Series:
    """The best of the stock schedulers."""
    return table[~table["subject"].isin(OURS)].sort_values(metric).iloc[0]


def picture(result: Result) -> bytes:
    """PNG: the log-SNR visited before and after, and FID over the number of steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_levels(left, _levels(result))
    _draw_fid(right, result.directory.read_frame("comparison.parquet"), result.metrics)
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        legend_beside(axes)
    return png(figure)


def _draw_levels(axes: Any, levels: dict[str, list[float]]) -> None:
    steps = range(1, len(levels["levels"]) + 1)
    axes.plot(steps, levels["before"], "o--", color="0.6", label="before")
    axes.plot(steps, levels["levels"], "o-", color="C1", label="learned")
    axes.set(xlabel="sampling step", ylabel="log-SNR visited")


def _draw_fid(axes: Any, table: pd.DataFrame, m: dict[str, Any]) -> None:
    stock = table[~table["subject"].isin(OURS)]
    by_steps = stock.sort_values("steps", kind="stable")
    for i, (name, rows) in enumerate(by_steps.groupby("subject", sort=False)):
        style = "--" if str(name).startswith("ddim") else "-"
        axes.plot(rows["steps"], rows["fid"], f".{style}", lw=1, label=name, color=f"C{i % 10}")
    learned = table.iloc[0]
    axes.errorbar(
        learned["steps"], learned["fid"], _BAND * learned["fid_se"],
        fmt="*", ms=12, color="k", label="learned",
    )  # fmt: skip
    has_images = m["fid_floor"] is not None  # else there are reference statistics alone
    if has_images:
        axes.axhline(m["fid_floor"], color="0.7", ls=":", label="held-out real images")
    what = "training data" if has_images else "reference statistics"
    axes.set(xlabel="sampling steps", ylabel=f"FID to the {what}")
    axes.set_yscale(scale_of(table["fid"]))


def samples_picture(result: Result) -> bytes:
    """PNG: the same noises by levels near a stock spacing, the best stock ones, and the learned."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    table = result.directory.read_frame("comparison.parquet")
    here = _here(table)
    begun = [name for name in (INITIAL, NEAREST) if name in set(here["subject"])]
    names = [*begun[:1], _best(here)["subject"], LEARNED]
    figure = Figure(figsize=(4.2 * len(names), 2.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        file = f"samples/{name.replace(' ', '-')}-{table.iloc[0]['steps']}.png"
        axes.imshow(imread(io.BytesIO(result.directory.read(file))), cmap="gray")
        axes.set_title(name)
        axes.set_axis_off()
    return png(figure)
