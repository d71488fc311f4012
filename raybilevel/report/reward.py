"""A reward run as a table and a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from raybilevel.problems.base import Status
from raybilevel.problems.reward.history import LIKE_THESE
from raybilevel.report.aim import Aim, aim_of
from raybilevel.report.figure import legend_beside, png
from raybilevel.report.next_step import or_what_helps
from raybilevel.report.page import Picture
from raybilevel.report.parts import part_items
from raybilevel.report.rungs import moved, strip, unseen
from raybilevel.report.table import Item, Line, with_error
from raybilevel.result import Result

if TYPE_CHECKING:
    import pandas as pd

_PICTURE = "pictures/objective.png"
PICTURES = (
    Picture(
        _PICTURE,
        "The objective over each variable, the others where they ended. Of moved samples the strip "
        "below changes its shade from rung to rung, as that has most of the weight.",
    ),
    Picture(
        "samples/before.png",
        "Samples of the pretrained model; over prompts a row each, as in samples/prompts.txt.",
    ),
    Picture("samples/after.png", "Samples at the best parameters, in the same order."),
    Picture(
        "samples/along_lambda.png",
        "A sample of each prompt along lambda, whose values stand above them: from the pretrained "
        "model, p0, to the best, and to a half and a quarter of it where the pool can be believed "
        "there. A sample stays until one takes its place that the lower rewards prefer; "
        "samples/along_lambda.txt names the prompts.",
    ),
    Picture(
        "samples/descendants.png",
        "Moved samples: in each row one of the last rung, on the right, and its ancestors at the "
        "rungs from the pretrained model, p0, on; lambda stands above where it is tuned. Where "
        "a row stops looking right, the reward is over-optimised from that lambda on.",
    ),
)
WORDS = (
    ("status", "converged: believe the interval; at_bound: the objective still falls at a bound; "
               "budget: a limit was reached; stopped: the pool cannot say, and why."),
    ("upper loss", "Minus the upper reward under the tuned distribution, and its standard error."),
    ("held-out reward", "Never optimised: if it falls while the loss does, the upper reward is "
                        "being gamed."),
    ("alone", "What would be best for this group, or prompt, alone; unknown where its own samples "
              "cannot say."),
    ("ESS, Pareto k-hat", "How many samples the estimate rests on, and how heavy its tail is; a "
                          "pool cannot see modes that it does not hold."),
    ("rung, islands", "Moved samples go down a ladder from p0, in islands that never meet; how far "
                      "these disagree about log Z, the normalising constant, says how sure they "
                      "are, in place of ESS and k-hat. docs/explanation/annealed.md has more."),
    ("NFE", "Network evaluations; what ran twice is counted once."),
)  # fmt: skip
_BAND = 1.96  # standard errors, for 95 %
_SURE = 3.0  # standard errors, for what is no chance
_PANELS, _ACROSS = 12, 3


def draw(result: Result) -> None:
    """Draw the run's picture into its directory."""
    if result.directory.has("curve.parquet"):
        result.directory.write(_PICTURE, picture(result))


def next_steps(result: Result) -> list[Line]:
    """What to train with, where it is known."""
    found = result.best_params.items() if result.status == Status.CONVERGED else ()
    to_use = [
        ("" if i else "train with", f"{name} = {x:.4g}{_where(name, result.metrics)}")
        for i, (name, x) in enumerate(found)
    ]
    return [*or_what_helps(to_use, result), *_gamed(result.metrics)]


def _gamed(m: dict[str, Any]) -> list[Line]:
    """Where what was held out has fallen below what the pretrained model has."""
    held_out, se, of_p0 = (m.get(f"held_out{end}") for end in ("", "_se", "_of_p0"))
    if held_out is None or se is None or of_p0 is None or held_out > of_p0 - _SURE * se:
        return []
    return [("mind", f"the held-out reward has fallen, from {of_p0:.4g} of the pretrained model to "
                     f"{held_out:.4g}: the upper reward may be gamed")]  # fmt: skip


def _of_p0(m: dict[str, Any], name: str) -> str:
    value = m.get(f"{name}_of_p0")
    return "" if value is None else f", of the pretrained model {value:.4f}"


def _where(name: str, m: dict[str, Any]) -> str:
    low, high = m.get(f"interval_low/{name}"), m.get(f"interval_high/{name}")
    if low is None or high is None:
        return ""
    return f" (the optimum is in {low:.4g} to {high:.4g}, 95 %)"


def lines(result: Result) -> list[Item]:
    """What was found, how sure it is, what it cost, where it is."""
    m = result.metrics
    rows: list[Item] = [("status", f"{result.status}: {result.reason}")]
    rows += [(name, _parameter(name, x, m)) for name, x in result.best_params.items()]
    name, said = aim_of(result).line(result)
    rows += [(name, f"{said}{_of_p0(m, 'upper_loss')}")]
    if "held_out" in m:
        rows += [("held-out reward", f"{with_error(m, 'held_out')}{_of_p0(m, 'held_out')}")]
    rows += part_items(result)
    rows += [
        ("pool", f"{m['pool_size']:,.0f} samples{_over(m)}, {_believed(m)}"),
        ("cost", f"{result.summary['nfe_total']:,} NFE, "
                 f"{result.summary['worker_seconds_total']:.0f} worker-seconds"),
        ("run", result.path),
    ]  # fmt: skip
    files = [picture.file for picture in PICTURES]
    return rows + [("", f"{result.path}/{f}") for f in files if result.directory.has(f)]


def _believed(m: dict[str, Any]) -> str:
    """How far the pool can be believed, in words."""
    if m.get("islands") is not None:
        return f"{moved(m)}; it cannot see modes that {unseen(m)}"
    ess, k_hat = (
        "undefined" if m.get(name) is None else f"{m[name]:{how}}"
        for name, how in (("ess", ",.0f"), ("pareto_k", ".2f"))
    )
    return f"ESS {ess}, Pareto k-hat {k_hat}; it cannot see modes that it does not hold"


def _over(m: dict[str, Any]) -> str:
    """Prompts that the pool is spread over, in words."""
    prompts = m.get("prompts")
    return "" if prompts is None else f" of {prompts:,.0f} prompts"


def _parameter(name: str, x: float, m: dict[str, Any]) -> str:
    low, high = m.get(f"interval_low/{name}"), m.get(f"interval_high/{name}")
    if low is None or high is None:
        return f"{x:.4g} (no interval)"
    interval = f"95 % in {low:.4g} to {high:.4g}"
    if "prompts" not in m:
        return f"{x:.4g} ({interval})"
    return f"{x:.4g} (for these prompts {interval}; {_for_others(name, m)})"


def _for_others(name: str, m: dict[str, Any]) -> str:
    """The interval for prompts like these, in words."""
    low, high = (m.get(f"interval_{end}{LIKE_THESE}/{name}") for end in ("low", "high"))
    if low is None or high is None:
        return "for prompts like these unknown"
    return f"for prompts like these in {low:.4g} to {high:.4g}"


def picture(result: Result) -> bytes:
    """PNG: the objective over each variable, its band, the optimum, and where the gates fail.

    Of many variables, as groups of prompts may have, the first twelve.
    """
    from matplotlib.figure import Figure

    curve = result.directory.read_frame("curve.parquet")
    names = list(dict.fromkeys(curve["variable"]))[:_PANELS]
    across = min(len(names), _ACROSS)
    down = math.ceil(len(names) / across)
    figure = Figure(figsize=(8.6 * across, 4.2 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels, names, strict=False):
        _draw(axes, curve[curve["variable"] == name], name, result)
    return png(figure)


def _draw(axes: Any, curve: pd.DataFrame, name: str, result: Result) -> None:
    aim = aim_of(result)
    healthy = curve[aim.column].where(curve["healthy"])
    axes.plot(curve["value"], healthy, label=_with_bands(axes, curve, healthy, aim))
    axes.plot(
        curve["value"], curve[aim.column].mask(curve["healthy"]),
        color="0.6", ls=":", label="not to be believed: a health gate fails",
    )  # fmt: skip
    if aim.level is not None:
        axes.axhline(aim.level, color="C2", lw=0.8, label=f"target: {aim.level:.3g}")
    if "rung" in curve and curve["healthy"].any():
        strip(axes, curve[curve["healthy"]])
    _mark(axes, name, result)
    if _is_log(curve):
        axes.set_xscale("log")
    _focus(axes, healthy.dropna())
    axes.set(xlabel=name, ylabel=aim.axis)
    legend_beside(axes)


def _with_bands(axes: Any, curve: pd.DataFrame, healthy: pd.Series, aim: Aim) -> str:
    """Draw the curve's bands; returns what it is called with them."""
    own, widest = curve[f"{aim.column}_se"], curve.get(f"{aim.column}_se{LIKE_THESE}")
    bands = [own] if widest is None else [widest, own]
    for errors in bands:
        margin = _BAND * errors
        axes.fill_between(
            curve["value"], healthy - margin, healthy + margin, color="C0", alpha=0.25, lw=0
        )
    if widest is None:
        return f"{aim.named}, 95 % band"
    return f"{aim.named}; 95 % bands for these prompts, and for prompts like these"


def _mark(axes: Any, name: str, result: Result) -> None:
    x, m = result.best_params[name], result.metrics
    for of in (LIKE_THESE, ""):
        low, high = (m.get(f"interval_{end}{of}/{name}") for end in ("low", "high"))
        if low is not None and high is not None:
            axes.axvspan(low, high, color="C1", alpha=0.2, lw=0)
    found = {"converged": aim_of(result).found, "at_bound": "at the bound"}
    label = found.get(result.status, "stopped here")
    axes.axvline(x, color="C1", label=f"{label}: {name} = {x:.3g}")


def _is_log(curve: pd.DataFrame) -> bool:
    values = curve["value"].to_numpy()
    return bool(values[0] > 0 and math.isclose(values[1] / values[0], values[2] / values[1]))


def _focus(axes: Any, healthy: pd.Series) -> None:
    """Let the healthy part fill the picture: beyond it the curve may be anywhere."""
    if len(healthy):
        low, high = healthy.min(), healthy.max()
        margin = 0.25 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + 2 * margin)
