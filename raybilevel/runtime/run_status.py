"""How a run stands, as its driver says."""

from __future__ import annotations

from dataclasses import dataclass, field

from raybilevel.callbacks import Row


@dataclass(frozen=True)
class Progress:
    """What a driver says when it is polled.

    Attributes
    ----------
    rows : the history's rows after the round asked for.
    round : rounds that are done.
    shards_left, workers : of the stage that is running.
    seconds_left : None where it cannot be told.
    notes : sentences for the user, since the driver's process began.
    finished : whether the run is over.
    error, details : what ended it, if it did not end by itself, and its traceback.
    run : path of the run's directory; empty while a driver has none.
    """

    rows: list[Row]
    round: int
    shards_left: int
    workers: int
    seconds_left: float | None
    notes: list[str]
    finished: bool
    error: Exception | None
    details: str
    run: str = ""


@dataclass
class RunStatus:
    """What the run's thread writes and a poll reads."""

    run: str = ""
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shards_left: int = 0
    workers: int = 0
    seconds_left: float | None = None
    finished: bool = False
    error: Exception | None = None
    details: str = ""

    def progress(self, after: int) -> Progress:
        """As of now, with the history's rows after round `after`."""
        return Progress(
            rows=[row for row in self.rows if row["training_iteration"] > after],
            round=int(self.rows[-1]["training_iteration"]) if self.rows else 0,
            shards_left=self.shards_left,
            workers=self.workers,
            seconds_left=self.seconds_left,
            notes=list(self.notes),
            finished=self.finished,
            error=self.error,
            details=self.details,
            run=self.run,
        )
