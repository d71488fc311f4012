"""One stage on its way through the crew: what is queued, what is lost, what has come back."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from raybilevel.errors import InputError, RunError
from raybilevel.problems.base import Output
from raybilevel.runtime.numbering import NumberedShard, NumberedStage
from raybilevel.runtime.reduce import Rows
from raybilevel.runtime.stragglers import Pace
from raybilevel.runtime.tree_sum import Sums
from raybilevel.runtime.worker import Report
from raybilevel.runtime.worker_group import Call, Crew, Member

_ATTEMPTS = 3  # a shard that raises is tried this often
_DEATHS = 5  # workers that may die on one shard
_SLOW = 2.0  # times the median, from which on a worker is slow


@dataclass
class Cost:
    """What running a stage cost beyond its own NFE, by the ledger's names."""

    worker_seconds_total: float = 0.0
    shards_retried: int = 0
    nfe_repeated: int = 0


class Batch:
    """Runs a stage's shards, each until it has one answer."""

    def __init__(self, stage: NumberedStage, seed: int, crew: Crew, pace: Pace) -> None:
        self._shards, self._seed, self._crew, self._pace = stage.shards, seed, crew, pace
        broadcast = stage.content.broadcast
        self._broadcast = ray.put(broadcast) if broadcast else {}
        size = len(self._shards)
        self._queue = deque(range(size))
        self._open = set(range(size))
        self._sums, self._rows = Sums(size), Rows()
        self.cost = Cost()
        self._sent, self._raised, self._deaths = Counter[int](), Counter[int](), Counter[int]()
        crew.forgive()

    @property
    def left(self) -> int:
        """Shards without an answer."""
        return len(self._open)

    @property
    def additions(self) -> list[Any]:
        """References of sums that are being added elsewhere."""
        return self._sums.waiting

    def assign(self) -> None:
        """Give shards to whoever is ready; run late ones elsewhere too; replace who hangs."""
        for member in sorted(self._crew.ready, key=lambda m: m.slowness):
            while self._next() and self._has_room(member) and self._is_of_use(member):
                self._send(member, self._queue.popleft())
        for member in list(self._crew.members):
            if member.head is not None:
                self._chase(member, member.head)

    def _next(self) -> bool:
        """Whether a shard is queued, once those that have their answer by now are dropped."""
        while self._queue and self._queue[0] not in self._open:
            self._queue.popleft()
        return bool(self._queue)

    def _has_room(self, member: Member) -> bool:
        """Whether to send one more: of short shards two, so that nobody waits for mail."""
        kind = self._shards[self._queue[0]].kind
        ours = all(call.batch is self for call in member.calls.values())
        return len(member.calls) < (2 if ours and self._pace.is_short(kind) else 1)

    def _is_of_use(self, member: Member) -> bool:
        """Whether the others would not be through the queue before a slow one is done."""
        if member.slowness <= _SLOW:
            return True
        fast = sum(m.slowness <= _SLOW and not self._is_stuck(m) for m in self._crew.ready)
        return len(self._queue) > (member.slowness - 1) * fast

    def _is_stuck(self, member: Member) -> bool:
        head = member.head
        return head is not None and self._is_late(head, member)

    def _is_late(self, head: Call, member: Member) -> bool:
        waited = time.monotonic() - head.started
        return self._pace.is_late(head.shard.kind, waited, member.slowness)

    def _send(self, member: Member, index: int) -> None:
        shard = self._shards[index]
        member.send(self, shard, self._broadcast, shard.key(self._seed))
        self._sent[index] += 1

    def _chase(self, member: Member, head: Call) -> None:
        now = time.monotonic()
        waited = now - head.started
        if self._pace.is_hung(head.shard.kind, waited):
            self._lose(member)
        elif member.leave_by is not None:
            for call in member.calls.values():
                self._race(member.leave_by - now, call, waited)
        elif not self._next() and self._is_late(head, member):
            for call in member.calls.values():
                self._send_again(call)

    def _race(self, seconds: float, head: Call, waited: float) -> None:
        """Queue a shard again that will not be done before its node goes."""
        if self._wants(head) and not self._pace.fits(head.shard.kind, waited + seconds):
            index = head.shard.index
            if self._crew.copies(self, index) < 2 and index not in self._queue:
                self._queue.appendleft(index)

    def _send_again(self, late: Call) -> None:
        index = late.shard.index
        free = [m for m in self._crew.ready if not m.calls]
        idle = min(free, key=lambda m: m.slowness, default=None)
        if idle is not None and self._wants(late) and self._crew.copies(self, index) < 2:
            self._send(idle, index)

    def _wants(self, call: Call) -> bool:
        return call.batch is self and call.shard.index in self._open

    def take(self, reference: Any) -> None:
        """Take what a reference holds: an answer, an error, or the news of a death.

        Raises
        ------
        RunError, InputError
            If a shard has raised, or killed its worker, too often; or raised one of these itself.
        """
        if reference in self.additions:
            self._reopen(self._sums.take(reference))
            return
        member = self._crew.member_of(reference)
        if member is None:
            return
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            self._take_error(member, reference, error)
        except RayError:
            self._lose(member)
        else:
            self._accept(member, reference, answer)

    def _accept(self, member: Member, reference: Any, answer: Any) -> None:
        if reference == member.loading:
            self._crew.welcome(member, answer)
        else:
            self._take_report(member, member.finish(reference), answer)

    def _take_report(self, member: Member, call: Call, report: Report) -> None:
        kind, index = call.shard.kind, call.shard.index
        member.slowness += 0.5 * (self._pace.ratio(kind, report.seconds) - member.slowness)
        self._pace.note(kind, report.seconds)
        self.cost.worker_seconds_total += report.seconds
        if self._wants(call):
            self._open.remove(index)
            self._rows.put(index, report.rows, report.nfe)
            self._reopen(self._sums.put(index, call.sums, report.sums_bytes))

    def _reopen(self, lost: Iterable[int]) -> None:
        """Run shards again whose sums went with a node."""
        for index in lost:
            self._open.add(index)
            self._requeue(index)

    def _take_error(self, member: Member, reference: Any, error: RayTaskError) -> None:
        if reference == member.loading:
            raise RunError(f"a worker could not load the problem: {error.cause}") from error.cause
        call = member.finish(reference)
        if not self._wants(call):
            return
        if isinstance(error.cause, (RunError, InputError)):
            raise error.cause
        self._raised[call.shard.index] += 1
        if self._raised[call.shard.index] >= _ATTEMPTS:
            raise RunError(
                f"{call.shard} raised {_ATTEMPTS} times: "
                f"{type(error.cause).__name__}: {error.cause}"
            ) from error
        self._requeue(call.shard.index)

    def _lose(self, member: Member) -> None:
        """Give up a worker; what it had in flight runs elsewhere."""
        self._crew.lose(member)
        for call in member.calls.values():
            if self._wants(call):
                if call is member.head:
                    self._mourn(call.shard)
                self._requeue(call.shard.index)

    def _mourn(self, shard: NumberedShard) -> None:
        self._deaths[shard.index] += 1
        if self._deaths[shard.index] >= _DEATHS:
            raise RunError(f"{_DEATHS} workers died while running {shard}")

    def _requeue(self, index: int) -> None:
        if not self._crew.copies(self, index) and index not in self._queue:
            self._queue.appendleft(index)

    def result(self) -> Output | None:
        """The stage's output; None where a node took it away, and all shards are to run again."""
        sums = self._sums.result()
        if sums is None:
            self._sums = Sums(len(self._shards))
            self._reopen(range(len(self._shards)))
            return None
        output = self._rows.result(sums)
        for index, sent in self._sent.items():
            self.cost.shards_retried += sent - 1
            self.cost.nfe_repeated += (sent - 1) * self._rows.nfe(index)
        return output
