"""Samples that went down a ladder, in words and in a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_HIGH = 0.03  # of the picture
_SHADES = ("0.85", "0.65")


def moved(m: dict[str, Any]) -> str:
    """Where such samples have got to, in words."""
    said = [
        f"{_way(m)} to rung {m['rung']:.0f} in {m['islands']:.0f} islands",
        f"which disagree about log Z by {_number(m['log_z_sd'])}",
        f"KL {_number(m['kl'])}",
    ]
    if m["acceptance"] is not None:
        said.append(f"{m['acceptance']:.0%} of moves accepted")
    if m.get("distinct_ancestors") is not None:
        said.append(f"{m['distinct_ancestors']:.0f} distinct ancestors an island")
    spreads = [m[name] for name in m if name.startswith("lambda_over_spread")]
    known = [spread for spread in spreads if spread is not None]
    if known:
        said.append(f"lambda is {min(known):.3g} spreads that the lower reward has under p0")
    return ", ".join(said)


def unseen(m: dict[str, Any]) -> str:
    """Which modes such samples cannot show."""
    return "no path came to" if "distinct_ancestors" in m else "its samples of p0 did not hold"


def _way(m: dict[str, Any]) -> str:
    return "guided and resampled" if "distinct_ancestors" in m else "moved"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def strip(axes: Any, curve: pd.DataFrame) -> None:
    """Along the axis, which rung has most of the weight where a curve is believed; ends named."""
    values, rungs = curve["value"].to_numpy(), curve["rung"].to_numpy()
    starts = [0, *(i for i in range(1, len(rungs)) if rungs[i] != rungs[i - 1])]
    ends = [*starts[1:], len(rungs) - 1]
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axes.axvspan(values[start], values[end], 0, _HIGH, color=_SHADES[i % 2], lw=0)
    for place, side in ((0, "left"), (-1, "right")):
        axes.text(
            values[place], _HIGH, _named(rungs[place]), ha=side, va="bottom", fontsize=7,
            color="0.4", transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def _named(rung: float) -> str:
    return "p0" if rung == 0 else f"rung {rung:.0f}"
