"""The shards of one stage: which are queued, which have no answer yet, and what came back."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raybilevel.errors import RunError
from raybilevel.problems.base import Output
from raybilevel.runtime.execution.tree_sum import Sums
from raybilevel.runtime.execution.worker import Report
from raybilevel.runtime.numbering import NumberedStage
from raybilevel.runtime.reduce import Rows

_MAX_ATTEMPTS = 3  # a shard that raises is tried this often
_MAX_DEATHS = 5  # workers that may die on one shard


@dataclass
class StageCost:
    """What running a stage cost beyond its own NFE, by the ledger's names.

    Attributes
    ----------
    seconds : of all shards, by part of their work.
    """

    worker_seconds_total: float = 0.0
    shards_retried: int = 0
    nfe_repeated: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def add_seconds(self, whole: float, by_part: Mapping[str, float]) -> None:
        """Add what a shard took."""
        self.worker_seconds_total += whole
        for part, seconds in by_part.items():
            self.seconds[part] = self.seconds.get(part, 0.0) + seconds


class StageProgress:
    """Each shard of a stage until it has one answer.

    Attributes
    ----------
    shards : all of them, by index.
    open : indices of shards without an answer.
    queue : indices of shards that are to be sent; some may have their answer by now.
    cost : what the stage has cost so far.
    """

    def __init__(self, stage: NumberedStage) -> None:
        self.shards = stage.shards
        size = len(self.shards)
        self.open, self.queue = set(range(size)), deque(range(size))
        self.cost = StageCost()
        self._sums, self._rows = Sums(size), Rows()
        self._sent, self._raised, self._deaths = Counter[int](), Counter[int](), Counter[int]()

    @property
    def left(self) -> int:
        """Shards without an answer."""
        return len(self.open)

    @property
    def additions(self) -> list[Any]:
        """References of sums that are being added elsewhere."""
        return self._sums.waiting

    @property
    def finished(self) -> bool:
        """Whether every shard has its answer and all sums are added."""
        return not self.open and not self.additions

    @property
    def has_queued(self) -> bool:
        """Whether a shard is queued, once those that have their answer by now are dropped."""
        while self.queue and self.queue[0] not in self.open:
            self.queue.popleft()
        return bool(self.queue)

    def queue_first(self, index: int) -> None:
        """Queue a shard before all others, unless it is queued already."""
        if index not in self.queue:
            self.queue.appendleft(index)

    def count_sent(self, index: int) -> None:
        """Count that a shard was sent to a worker."""
        self._sent[index] += 1

    def count_failure(self, index: int, error: Any) -> None:
        """Count that a shard has raised; `RunError` where it did so too often."""
        self._raised[index] += 1
        if self._raised[index] >= _MAX_ATTEMPTS:
            raise RunError(
                f"{self.shards[index]} raised {_MAX_ATTEMPTS} times: "
                f"{type(error.cause).__name__}: {error.cause}"
            ) from error

    def count_death(self, index: int) -> None:
        """Count that a worker died while running a shard; `RunError` where too many did."""
        self._deaths[index] += 1
        if self._deaths[index] >= _MAX_DEATHS:
            raise RunError(f"{_MAX_DEATHS} workers died while running {self.shards[index]}")

    def put(self, index: int, report: Report, sums: Any) -> Iterable[int]:
        """Take a shard's answer; returns the shards that are to run again."""
        self.open.remove(index)
        self._rows.put(index, report.rows, report.nfe)
        return self._sums.put(index, sums, report.sums_bytes)

    def take_addition(self, reference: Any) -> Iterable[int]:
        """Take an addition that has ended; returns the shards that are to run again."""
        return self._sums.take(reference)

    def result(self) -> Output | None:
        """The stage's output; None where its sums are lost and all shards are to run again."""
        sums = self._sums.result()
        if sums is None:
            self._sums = Sums(len(self.shards))
            return None
        output = self._rows.result(sums)
        for index, sent in self._sent.items():
            self.cost.shards_retried += sent - 1
            self.cost.nfe_repeated += (sent - 1) * self._rows.nfe(index)
        return output
