"""Progress on standard error: a live line in a terminal, plain lines where there is none."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raybilevel.terminal import console

if TYPE_CHECKING:
    from raybilevel.callbacks import Row
    from raybilevel.runtime.run_status import Progress

_OFTEN = 10.0  # seconds between two lines of a search that goes on
_QUIET = 30.0  # seconds without a line, where there is no terminal, before one says what goes on

_MOST = 4  # variables that a line has room for


@contextmanager
def display(
    watch: Callable[[Progress], None] | None = None,
) -> Iterator[Callable[[Progress], None]]:
    """What shows a run's progress while the context lasts: `watch`, or a display on stderr."""
    if watch is not None:
        yield watch
        return
    stderr = console(stderr=True, markup=False)
    if not stderr.is_terminal:
        yield _Plain(stderr.print).show
        return
    from rich.live import Live

    with Live("starting Ray", console=stderr, transient=True, refresh_per_second=8) as live:
        plain = _Plain(stderr.print)
        plain.idle = math.inf  # the live line says what goes on

        def show(progress: Progress) -> None:
            plain.show(progress)
            live.update(live_line(progress, plain.last))

        yield show


def plain_lines(every: float = _OFTEN) -> Callable[[str], None]:
    """What writes a line to stderr: of a search's results the first, and then one now and then."""
    stderr = console(stderr=True, markup=False)
    spoke: dict[str, float] = {}

    def say(line: str) -> None:
        subject, now = line.partition(":")[0], time.monotonic()
        if " NFE, least" in line:
            if now - spoke.get(subject, -math.inf) < every:
                return
            spoke[subject] = now
        stderr.print(line, soft_wrap=True)

    return say


class _Plain:
    """A line for each new round and note, and one now and then while a round takes long."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._notes: set[str] = set()
        self._spoke = time.monotonic()
        self.idle = _QUIET
        self.last: Row | None = None

    def show(self, progress: Progress) -> None:
        lines = [note for note in progress.notes if note not in self._notes]
        self._notes.update(lines)
        self.last = progress.rows[-1] if progress.rows else self.last
        lines += [row_line(row) for row in progress.rows]
        if not lines and time.monotonic() - self._spoke > self.idle:
            lines = [status_line(progress)]
        for line in lines:
            self._write(line, soft_wrap=True)  # type: ignore[call-arg]
            self._spoke = time.monotonic()


def row_line(row: Row) -> str:
    """One round of the history in a line."""
    costs = f"NFE {row['nfe_total']:,}  {row['num_workers']} workers"
    return f"round {row['training_iteration']}  {_found(row)}  {costs}"


def _found(row: Row) -> str:
    """The variables, the loss with its error, and what tells how far it is to be believed."""
    names = [name for name in row if name.startswith("config/")]
    parts = [f"{name.removeprefix('config/')} {row[name]:.4g}" for name in names]
    if len(parts) > _MOST:
        parts = [parts[0], "..", parts[-1]]
    aim = "target" if "target" in row else "upper_loss"
    parts.append(f"{aim.removeprefix('upper_')} {_with_error(row, aim)}")
    if "learning_rate" in row:
        parts.append(f"training loss {row['lower_loss']:.4f}")
    if not math.isnan(row.get("ess", math.nan)):
        parts.append(f"ESS {row['ess']:.0f}")
    return "  ".join([*parts, *_of_choice(row), *_of_rung(row)])


def _of_choice(row: Mapping[str, float]) -> list[str]:
    """What moving and guiding were worth, where a run has chosen; else nothing."""
    if "effective_per_nfe/guided" not in row:
        return []
    moved, guided = (row[f"effective_per_nfe/{way}"] for way in ("annealed", "guided"))
    if math.isnan(guided):
        return ["cannot be guided"]
    return [f"effective in 1,000 NFE {1000 * moved:.2g} moved, {1000 * guided:.2g} guided"]


def _of_rung(row: Mapping[str, float]) -> list[str]:
    """Where samples that are moved have got to, and how far their islands agree; else nothing."""
    if "log_z_sd" not in row:
        return []
    found = [
        f"rung {row['rung']:.0f}", f"{row['islands']:.0f} islands",
        f"log Z sd {row['log_z_sd']:.2f}", f"KL {row['kl']:.2f}",
    ]  # fmt: skip
    if not math.isnan(row["acceptance"]):  # as it is of p0, where nothing has moved yet
        found.append(f"accepted {row['acceptance']:.0%}")
    if not math.isnan(row.get("distinct_ancestors", math.nan)):
        found.append(f"{row['distinct_ancestors']:.0f} distinct ancestors")
    spreads = [value for name, value in row.items() if name.startswith("lambda_over_spread")]
    spreads = [value for value in spreads if not math.isnan(value)]
    return [*found, f"lambda/spread {min(spreads):.2g}"] if spreads else found


def live_line(progress: Progress, last: Row | None) -> str:
    """What is going on now, behind where x stood at the last round's end."""
    found = "" if last is None else f"{_found(last)}  NFE {last['nfe_total']:,}  |  "
    return found + status_line(progress)


def _with_error(row: Mapping[str, float], name: str) -> str:
    value, se = row.get(name, math.nan), row.get(f"{name}_se", math.nan)
    return "not known yet" if math.isnan(value) else f"{value:.4f} ± {se:.4f}"


def status_line(progress: Progress) -> str:
    """What is going on now, in a line."""
    if not progress.workers:
        return "waiting for workers"
    left = progress.seconds_left
    time_left = "" if left is None else f", about {_duration(left)} left"
    return (
        f"round {progress.round + 1}: {progress.shards_left} shards to go on "
        f"{progress.workers} workers{time_left}"
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
