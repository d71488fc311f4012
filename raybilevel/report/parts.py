"""Groups of prompts in a reward run's table, and single prompts where there are no groups."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from raybilevel.report.table import Item, Table
from raybilevel.result import Result

if TYPE_CHECKING:
    import pandas as pd

FILE = "parts.parquet"
_SHOWN = 12
_WIDTH = 60  # letters of a prompt


def part_items(result: Result) -> list[Item]:
    """A row each group, or each of the first prompts; all of them are in `parts.parquet`."""
    if not result.directory.has(FILE):
        return []
    parts = result.directory.read_frame(FILE)
    kind = parts["kind"].iloc[0]
    shown = parts[parts["kind"] == kind].head(_SHOWN).to_dict("records")
    heads = (kind, *(name for name, _ in _numbers(shown[0])), "best alone")
    rows = [heads, *(_row(row, _own(row, parts)) for row in shown)]
    return [Table(f"{kind}s", f"all of them are in {result.path}/{FILE}", rows)]


def _short(name: str) -> str:
    """A prompt in one line, as much of it as tells it from others at a glance."""
    line = " ".join(name.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."


def _own(row: dict[str, Any], parts: pd.DataFrame) -> list[str]:
    """Variables of a row: those of all, and where groups have some of their own its group's."""
    names = [c.removeprefix("alone/") for c in parts.columns if c.startswith("alone/")]
    groups = list(parts["group"].dropna().unique())
    return [name for name in names if _group_of(name, groups) in (None, row["group"])]


def _group_of(name: str, groups: list[str]) -> str | None:
    """Whose variable it is: of groups "b" and "a/b" that of "lambda/a/b" is the latter."""
    ends = (group for group in groups if name.endswith(f"/{group}"))
    return max(ends, key=len, default=None)


def _row(row: dict[str, Any], variables: list[str]) -> tuple[str, ...]:
    alone = ", ".join(_alone(row, name) for name in variables)
    return (_short(row["name"]), *(number for _, number in _numbers(row)), alone)


def _numbers(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Heads, and what stands below them, at the best parameters of all."""
    aim = "target" if "target" in row else "reward"
    numbers = [("KL", f"{row['kl']:.2f}"), (aim, f"{row[aim]:.3f} ± {row[f'{aim}_se']:.3f}")]
    if "held_out" in row:
        numbers.append(("held-out", f"{row['held_out']:.3f} ± {row['held_out_se']:.3f}"))
    return numbers


def _alone(row: dict[str, Any], name: str) -> str:
    best, low, high = (row[f"alone{end}/{name}"] for end in ("", "_low", "_high"))
    if not math.isnan(best):
        return f"{name} {best:.4g} ({low:.4g} to {high:.4g})"
    needed = row["samples_needed"]
    if not math.isfinite(needed):
        return f"{name} unknown"
    return f"{name} unknown (of {needed:,.0f} samples it may be known)"
