"""The driver's side of learning the schedule while the network trains.

Xiao et al. 2025, arXiv 2502.08808, Algorithm 6, with the upper steps late: round 0 sees the real
images, `warmup` rounds train alone, the next one looks for where to begin, and of the rounds that
are left `updates` move the schedule too; one more compares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from raybilevel.problems.base import Arrays, Metrics, Status, Stop, Update
from raybilevel.problems.schedule.convergence import why_stop
from raybilevel.problems.schedule.sampling_rounds import SamplingRounds, Stages
from raybilevel.problems.schedule.training.network_training import (
    Learned,
    NetworkTraining,
    average_of,
    refused,
)


@dataclass(frozen=True, eq=False)
class JointTraining:
    """Which rounds do what.

    Attributes
    ----------
    rounds : looks, updates and the comparison.
    network : trains it for a round.
    length : rounds that train.
    warmup : rounds that train before anything is learned of the schedule.
    updates : rounds that move it; with 0 it stays as it is.
    gamma : of the penalty, in the first and in the last update; None where there is no penalty.
    evaluate_every : rounds between two evaluations while nothing is updated.
    """

    rounds: SamplingRounds
    network: NetworkTraining
    length: int
    warmup: int
    updates: int
    gamma: tuple[float, float] | None
    evaluate_every: int

    def run_round(self, round_: int, state: Arrays) -> Stages[Update]:
        """One round of the whole run."""
        if round_ == 0:
            return (yield from self._see(state))
        if round_ > self.length:
            return (yield from self._end(round_, state))
        return (yield from self.train(round_, state))

    def _see(self, state: Arrays) -> Stages[Update]:
        seen = yield from self.rounds.see(state)
        nothing = np.nan, np.nan  # is known yet; a look that fails leaves the start where it is
        return Update(*self.rounds.optimizer.begin(seen, state["x"], nothing))

    def train(self, round_: int, state: Arrays) -> Stages[Update]:
        """One of the rounds from 1 to `length`: trains, and may update or evaluate."""
        learned = yield from self.network.train(round_, state, self._gamma(round_))
        if learned is None:
            state, stop = refused(state)
            return Update(state, self._nothing(state), stop)
        update = yield from self._upper(round_, learned)
        return replace(update, metrics=update.metrics | learned.row)

    def update_of(self, round_: int) -> int | None:
        """Which update the round makes, from 1; they are spread evenly, the last in the last."""
        if not self.updates or round_ <= self.warmup + 1:
            return None
        left, passed = self.length - self.warmup - 1, round_ - self.warmup - 1
        update = self.updates * passed // left
        return update if update > self.updates * (passed - 1) // left else None

    def _gamma(self, round_: int) -> float | None:
        """The penalty's strength on its way from the first to the last update, by equal factors."""
        update = self.update_of(round_)
        if self.gamma is None or update is None:
            return None
        first, last = self.gamma
        return float(first * (last / first) ** ((update - 1) / max(self.updates - 1, 1)))

    def _upper(self, round_: int, learned: Learned) -> Stages[Update]:
        rounds, state, weights = self.rounds, learned.state, learned.weights
        update = self.update_of(round_)
        if update is not None:
            return (yield from rounds.update(round_, update, state, weights, learned.term))
        if self.updates and round_ == self.warmup + 1:
            return (yield from rounds.begin(state, weights))
        if round_ % self.evaluate_every or round_ == self.length:  # the end evaluates anyway
            return Update(state, self._nothing(state))
        found = yield from rounds.evaluate(round_, state["x"], state, weights)
        return Update(state, rounds.optimizer.row(state["x"], *found))

    def _nothing(self, state: Arrays) -> Metrics:
        """A row of which the objective is not known."""
        return self.rounds.optimizer.row(state["x"], np.nan, np.nan)

    def _end(self, round_: int, state: Arrays) -> Stages[Update]:
        """Take the mean of the last updates, or where they began if that is better; and compare."""
        rounds, weights = self.rounds, average_of(state)
        if not self.updates:
            found = yield from rounds.evaluate(round_, state["x"], state, weights)
            return (yield from rounds.end(state, found, _AS_GIVEN, weights))
        candidates = [state["x"]]
        if len(state["trace"]):
            candidates = [rounds.optimizer.average(state["trace"]), state["x_start"]]
        x, found = yield from rounds.choose(candidates, state, weights)
        state = state | {"x": x}
        return (yield from rounds.end(state, found, self._stop(state), weights))

    def _stop(self, state: Arrays) -> Stop:
        if len(state["trace"]):
            space = self.rounds.space
            return why_stop(space.schedule.variables, space.to_unit(state["x"]), state["gradients"])
        return Stop(
            Status.BUDGET,
            f"none of the {self.updates} updates was made, as their rounds' training came to "
            "nothing; train longer, or at a lower learning_rate",
        )


_AS_GIVEN = Stop(Status.CONVERGED, "the network was trained on the schedule as given: updates is 0")
