"""What all pictures share."""

from __future__ import annotations

import io
from typing import Any


def png(figure: Any) -> bytes:
    """A matplotlib figure as PNG, its axes without the lines above and at the right."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def legend_beside(axes: Any) -> None:
    """A legend at the right of a panel, where it covers no line."""
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def scale_of(values: Any) -> str:
    """A logarithmic axis where all values can stand on it: unbiased FID may be below 0."""
    return "linear" if (values <= 0).any() else "log"
