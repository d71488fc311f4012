"""One stage on its way through the crew: what is queued, what is lost, what has come back."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from raybilevel.errors import InputError, RunError
from raybilevel.problems.base import Output, Shard, Stage
from raybilevel.runtime.crew import Call, Crew, Member
from raybilevel.runtime.pace import Pace
from raybilevel.runtime.reduce import Tree
from raybilevel.runtime.worker import Answer

_ATTEMPTS = 3  # a shard that raises is tried this often
_DEATHS = 5  # workers that may die on one shard


@dataclass
class Cost:
    """What running a stage cost beyond its own NFE."""

    worker_seconds: float = 0.0
    shards_retried: int = 0
    nfe_repeated: int = 0


class Batch:
    """Runs a stage's shards, each until it has one answer.

    Attributes
    ----------
    open : indices of the shards without an answer.
    tree : the reduction of those that have one.
    """

    def __init__(self, stage: Stage, seed: int, crew: Crew, pace: Pace) -> None:
        self._stage, self._seed, self._crew, self._pace = stage, seed, crew, pace
        self._broadcast = ray.put(stage.broadcast) if stage.broadcast else {}
        size = len(stage.shards)
        self._queue = deque(range(size))
        self.open = set(range(size))
        self.tree = Tree(size)
        self.cost = Cost()
        self._sent, self._raised, self._deaths = Counter[int](), Counter[int](), Counter[int]()

    def assign(self) -> None:
        """Give shards to whoever is ready; run late ones elsewhere too; replace who hangs."""
        for member in self._crew.ready:
            while self._queue and self._has_room(member):
                self._send(member, self._queue.popleft())
        for member in list(self._crew.members):
            if member.head is not None:
                self._chase(member, member.head)

    def _has_room(self, member: Member) -> bool:
        """Whether to send one more: of short shards two, so that nobody waits for mail."""
        kind = self._stage.shards[self._queue[0]].kind
        return len(member.calls) < (2 if self._pace.is_short(kind) else 1)

    def _send(self, member: Member, index: int) -> None:
        shard = self._stage.shards[index]
        member.send(self, shard, self._broadcast, shard.key(self._seed))
        self._sent[index] += 1

    def _chase(self, member: Member, head: Call) -> None:
        waited = time.monotonic() - head.started
        if self._pace.is_hung(head.shard.kind, waited):
            self._lose(member)
        elif self._pace.is_late(head.shard.kind, waited) and not self._queue:
            self._send_again(head)

    def _send_again(self, late: Call) -> None:
        index = late.shard.index
        idle = next((m for m in self._crew.ready if not m.calls), None)
        if idle is not None and self._wants(late) and self._crew.copies(self, index) < 2:
            self._send(idle, index)

    def _wants(self, call: Call) -> bool:
        return call.batch is self and call.shard.index in self.open

    def take(self, reference: Any) -> None:
        """Take what a reference holds: an answer, an error, or the news of a death.

        Raises
        ------
        RunError, InputError
            If a shard has raised, or killed its worker, too often; or raised one of these itself.
        """
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
            self._take_answer(member.finish(reference), answer)

    def _take_answer(self, call: Call, answer: Answer) -> None:
        output, seconds = answer
        self._pace.note(call.shard.kind, seconds)
        self.cost.worker_seconds += seconds
        if self._wants(call):
            self._keep(call.shard.index, output)

    def _keep(self, index: int, output: Output) -> None:
        self.open.remove(index)
        self.tree.put(index, output)
        again = self._sent[index] - 1
        self.cost.shards_retried += again
        self.cost.nfe_repeated += again * output.nfe

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

    def _mourn(self, shard: Shard) -> None:
        self._deaths[shard.index] += 1
        if self._deaths[shard.index] >= _DEATHS:
            raise RunError(f"{_DEATHS} workers died while running {shard}")

    def _requeue(self, index: int) -> None:
        if not self._crew.copies(self, index) and index not in self._queue:
            self._queue.appendleft(index)
