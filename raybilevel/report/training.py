"""What a schedule run that trained its network looked like on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.lower.training.unet import WIDEST
from raybilevel.problems.schedule.space import ScheduleSpace, make_schedule
from raybilevel.report.figure import png, scale_of
from raybilevel.report.table import Line
from raybilevel.result import Result

if TYPE_CHECKING:
    import pandas as pd

PICTURE = "pictures/training.png"


def picture(result: Result) -> bytes:
    """PNG: the levels over rounds, the training loss over rounds, the objective over NFE."""
    from matplotlib.figure import Figure

    history = result.get_dataframe()
    figure = Figure(figsize=(12.0, 3.6), layout="constrained")
    levels, loss, objective = figure.subplots(1, 3)
    _draw_levels(levels, history, _space(result))
    loss.plot(history["training_iteration"], history["lower_loss"], lw=1)
    loss.set(xlabel="round", ylabel="training loss", yscale=scale_of(history["lower_loss"]))
    known = history.dropna(subset=["upper_loss"])
    objective.errorbar(
        known["nfe_total"], known["upper_loss"], known["upper_loss_se"], fmt=".-", lw=1
    )
    objective.set(xlabel="NFE", ylabel="objective", yscale=scale_of(known["upper_loss"]))
    return png(figure)


def _space(result: Result) -> ScheduleSpace:
    """Variables and levels, of the configuration alone: the data may be elsewhere by now."""
    config = result.config
    steps = config["sampling_steps"]
    schedule = make_schedule(config["schedule"], steps, WIDEST, config["schedule_options"])
    return ScheduleSpace(schedule, steps, WIDEST)


def _draw_levels(axes: Any, history: pd.DataFrame, space: ScheduleSpace) -> None:
    x = history[[f"config/{v.name}" for v in space.schedule.variables]].to_numpy(float)
    levels = np.array([space.levels(row) for row in x])
    axes.plot(history["training_iteration"], levels, lw=1, color="C1")
    axes.set(xlabel="round", ylabel="log-SNR visited")


def lines(history: pd.DataFrame) -> list[Line]:
    """How training went, and what travelled."""
    trained = history.dropna(subset=["lower_loss"])
    down, up = (trained[f"{way}_bytes"].median() / 1e6 for way in ("broadcast", "returned"))
    rows = [
        ("training loss", f"{trained['lower_loss'].iloc[0]:.4f} at first, "
                          f"{trained['lower_loss'].iloc[-1]:.4f} in the last round"),
        ("travelled", f"a round {down:.1f} MB to every worker, {up:.1f} MB back from all shards"),
    ]  # fmt: skip
    if "penalty_share" in trained:
        share = trained["penalty_share"].dropna()
        rows += [("penalty term", f"{share.mean():.0%} of the gradient on average")]
    return rows
