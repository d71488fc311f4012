"""The driver's side of learning the schedule while the network trains.

Xiao et al. 2025, arXiv 2502.08808, Algorithm 6, with the upper steps late: round 0 sees the real
images, `warmup` rounds train alone, the next one looks for where to begin, and of the rounds that
are left `updates` move the schedule too; one more compares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from raybilevel.problems.base import Arrays, Metrics, Output, Stage, Status, Stop, Update
from raybilevel.problems.schedule.convergence import why_stop
from raybilevel.problems.schedule.objective import Fid
from raybilevel.problems.schedule.optimizer import PenaltyTerm
from raybilevel.problems.schedule.sampling_rounds import SamplingRounds, Stages
from raybilevel.problems.schedule.shards import Levels, Train, TrainPair
from raybilevel.problems.schedule.training_spec import LEARNER, SAMPLED, TrainingSpec

_PATIENCE = 3  # rounds in a row whose training may come to nothing


@dataclass(frozen=True, eq=False)
class Learned:
    """What a round's training came to.

    Attributes
    ----------
    state : the driver's, from here on.
    row : of the history.
    weights : what the round's samples are drawn with, as it is broadcast.
    term : the penalty term of an update, where z was trained.
    """

    state: Arrays
    row: Metrics
    weights: Arrays
    term: PenaltyTerm | None


@dataclass(frozen=True, eq=False)
class JointTraining:
    """Which rounds do what, and what becomes of the network in each.

    Attributes
    ----------
    rounds : looks, updates and the comparison.
    spec : what training shards are told.
    length : rounds that train.
    shards, steps : training shards a round, and AdamW steps of each.
    warmup : rounds that train before anything is learned of the schedule.
    updates : rounds that move it; with 0 it stays as it is.
    gamma : of the penalty, in the first and in the last update.
    decay : of the weights' moving average, a round.
    evaluate_every : rounds between two evaluations while nothing is updated.
    """

    rounds: SamplingRounds
    spec: TrainingSpec
    length: int
    shards: int
    steps: int
    warmup: int
    updates: int
    gamma: tuple[float, float] | None
    decay: float
    evaluate_every: int

    def run_round(self, round_: int, state: Arrays) -> Stages[Update]:
        """One round of the whole run."""
        if round_ == 0:
            return (yield from self._see(state))
        if round_ > self.length:
            return (yield from self._end(round_, state))
        return (yield from self.train(round_, state))

    def train(self, round_: int, state: Arrays) -> Stages[Update]:
        """One of the rounds from 1 to `length`: trains, and may update or evaluate."""
        out = yield from self._train_shards(round_, state)
        learned = self._learned(round_, state, out)
        if learned is None:
            return self._refused(state)
        update = yield from self._upper(round_, learned)
        return replace(update, metrics=update.metrics | learned.row)

    def _see(self, state: Arrays) -> Stages[Update]:
        seen = yield from self.rounds.see(state)
        nothing = np.nan, np.nan  # is known yet; a look that fails leaves the start where it is
        return Update(*self.rounds.optimizer.begin(seen, state["x"], nothing))

    # --- the lower level --------------------------------------------------------------------------

    def _train_shards(self, round_: int, state: Arrays) -> Stages[Output]:
        """All shards of a round train from the same weights; z too, where there is a penalty."""
        first = (round_ - 1) * self.steps
        broadcast = {name: state[name] for name in (*LEARNER, "x")}
        if not self._trains_z(round_):
            return (yield Stage((Train(first, self.steps),) * self.shards, broadcast))
        slopes = yield from self._slopes(round_, state)
        pair = TrainPair(first, self.steps, self._levels(state), self._gamma(round_))
        return (yield Stage((pair,) * self.shards, broadcast | slopes))

    def _trains_z(self, round_: int) -> bool:
        return self.gamma is not None and self.update_of(round_) is not None

    def _levels(self, state: Arrays) -> Levels:
        return tuple(self.rounds.space.levels(state["x"]).tolist())

    def _slopes(self, round_: int, state: Arrays) -> Stages[Arrays]:
        """FID's derivatives in the moments of samples at x, as they are broadcast."""
        found = yield self.rounds.sample(round_, state["x"], state, average_of(state))
        objective = self.rounds.objective(state)
        assert isinstance(objective, Fid), "other objectives are refused beside a penalty"
        mean, outer = objective.slopes(found.rows)
        return {"slope_mean": mean, "slope_outer": outer}

    def _gamma(self, round_: int) -> float:
        """On its way from the first to the last update, by equal factors."""
        update = self.update_of(round_)
        assert self.gamma is not None and update is not None, "z is trained for an update"
        first, last = self.gamma
        return float(first * (last / first) ** ((update - 1) / max(self.updates - 1, 1)))

    def _learned(self, round_: int, state: Arrays, out: Output) -> Learned | None:
        """The mean of what the shards learned; None where it is not finite."""
        mean = {name: out.sums[name] / np.float32(self.shards) for name in out.sums}
        if not all(np.isfinite(a).all() for a in (*mean.values(), *out.rows.values())):
            return None
        state = state | self._averaged(state, mean)
        row = {
            "lower_loss": float(out.rows["loss"].mean()),
            "learning_rate": self.spec.optimizer.rate((round_ - 1) * self.steps),
        }
        if "weights_z" not in mean:
            return Learned(state, row, average_of(state), None)
        # sampled from is the average, displaced as f displaces z
        sampled = state["average"] + (mean["weights_z"] - mean["weights"])
        gamma = self._gamma(round_)
        term = _penalty_term(gamma, out.rows)
        return Learned(state, row | {"gamma": gamma}, {SAMPLED: sampled}, term)

    def _averaged(self, state: Arrays, mean: Arrays) -> Arrays:
        """What changes in a state where the shards came to `mean`: weights, average, counts."""
        seen = int(state["rounds_learned"])
        keep = np.float32(min(self.decay, (1 + seen) / (10 + seen)))
        average = keep * state["average"] + (1 - keep) * mean["weights"]
        counts = {"rounds_learned": np.array(seen + 1), "rounds_refused": np.array(0)}
        return {name: mean[name] for name in LEARNER} | {"average": average} | counts

    def _refused(self, state: Arrays) -> Update:
        """The round leaves no trace but its count."""
        refused = int(state["rounds_refused"]) + 1
        state = state | {"rounds_refused": np.array(refused)}
        stop = None if refused < _PATIENCE else _NOT_FINITE
        return Update(state, self._nothing(state), stop)

    # --- the upper level --------------------------------------------------------------------------

    def update_of(self, round_: int) -> int | None:
        """Which update the round makes, from 1; they are spread evenly, the last in the last."""
        if not self.updates or round_ <= self.warmup + 1:
            return None
        left, passed = self.length - self.warmup - 1, round_ - self.warmup - 1
        update = self.updates * passed // left
        return update if update > self.updates * (passed - 1) // left else None

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


_NOT_FINITE = Stop(
    Status.STOPPED,
    f"the training loss was not finite in {_PATIENCE} rounds in a row; the state before them is "
    "kept: lower learning_rate, or take mixed_precision 'no'",
)
_AS_GIVEN = Stop(Status.CONVERGED, "the network was trained on the schedule as given: updates is 0")


def average_of(state: Arrays) -> Arrays:
    """The moving average of the weights, which samples are drawn with, as it is broadcast."""
    return {SAMPLED: state["average"]}


def _penalty_term(gamma: float, rows: Arrays) -> PenaltyTerm:
    """The mean of gamma (dg/dq(z) - dg/dq(y)) over batches, and its standard error."""
    gaps = gamma * (rows["slope_z"] - rows["slope_y"])
    return PenaltyTerm(gaps.mean(axis=0), gaps.std(axis=0, ddof=1) / np.sqrt(len(gaps)))


def first_state(weights: np.ndarray) -> Arrays:
    """What a state holds of the network before training: weights (P,) float32."""
    nothing = np.zeros_like(weights)
    return {
        "weights": weights,
        "mean": nothing,
        "square": nothing,
        "average": weights,
        "rounds_learned": np.array(0),
        "rounds_refused": np.array(0),
    }
