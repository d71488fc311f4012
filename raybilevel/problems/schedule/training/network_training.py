"""The driver's side of training the network: what a round's shards do, and what they came to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.problems.base import Arrays, Metrics, Output, Stage, Status, Stop
from raybilevel.problems.schedule.optimizer import PenaltyTerm
from raybilevel.problems.schedule.real_images.objective import Fid
from raybilevel.problems.schedule.sampling_rounds import SamplingRounds, Stages
from raybilevel.problems.schedule.shards import Train, TrainPair
from raybilevel.problems.schedule.training.spec import LEARNER, SAMPLED, TrainingSpec

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
class NetworkTraining:
    """Trains the network for a round, in shards that begin at the same weights.

    Attributes
    ----------
    rounds : what draws the samples that the penalty is taken at.
    spec : what training shards are told.
    shards, steps : training shards a round, and AdamW steps of each.
    decay : of the weights' moving average, a round.
    """

    rounds: SamplingRounds
    spec: TrainingSpec
    shards: int
    steps: int
    decay: float

    def train(self, round_: int, state: Arrays, gamma: float | None) -> Stages[Learned | None]:
        """One round from 1 on; z is trained too where there is a penalty of strength `gamma`.

        None where what was learned is not finite.
        """
        first = (round_ - 1) * self.steps
        broadcast = {name: state[name] for name in (*LEARNER, "x")}
        shard: Train | TrainPair = Train(first, self.steps)
        if gamma is not None:
            broadcast |= yield from self._slopes(round_, state)
            levels = tuple(self.rounds.space.levels(state["x"]).tolist())
            shard = TrainPair(first, self.steps, levels, gamma)
        out = yield Stage((shard,) * self.shards, broadcast)
        row = {
            "lower_loss": float(out.rows["loss"].mean()),
            "learning_rate": self.spec.optimizer.rate(first),
        }
        return self._learned(state, out, row, gamma)

    def _slopes(self, round_: int, state: Arrays) -> Stages[Arrays]:
        """FID's derivatives in the moments of samples at x, as they are broadcast."""
        found = yield self.rounds.sample(round_, state["x"], state, average_of(state))
        objective = self.rounds.objective(state)
        assert isinstance(objective, Fid), "other objectives are refused beside a penalty"
        mean, outer = objective.slopes(found.rows)
        return {"slope_mean": mean, "slope_outer": outer}

    def _learned(
        self, state: Arrays, out: Output, row: Metrics, gamma: float | None
    ) -> Learned | None:
        """The mean of what the shards learned."""
        mean = {name: out.sums[name] / np.float32(self.shards) for name in out.sums}
        if not all(np.isfinite(a).all() for a in (*mean.values(), *out.rows.values())):
            return None
        state = state | self._averaged(state, mean)
        if gamma is None:
            return Learned(state, row, average_of(state), None)
        # sampled from is the average, displaced as f displaces z
        sampled = state["average"] + (mean["weights_z"] - mean["weights"])
        term = _penalty_term(gamma, out.rows)
        return Learned(state, row | {"gamma": gamma}, {SAMPLED: sampled}, term)

    def _averaged(self, state: Arrays, mean: Arrays) -> Arrays:
        """What changes in a state where the shards came to `mean`: weights, average, counts."""
        seen = int(state["rounds_learned"])
        keep = np.float32(min(self.decay, (1 + seen) / (10 + seen)))
        average = keep * state["average"] + (1 - keep) * mean["weights"]
        counts = {"rounds_learned": np.array(seen + 1), "rounds_refused": np.array(0)}
        return {name: mean[name] for name in LEARNER} | {"average": average} | counts


def refused(state: Arrays) -> tuple[Arrays, Stop | None]:
    """The state after a round that learned nothing, which leaves no trace but its count."""
    count = int(state["rounds_refused"]) + 1
    return state | {"rounds_refused": np.array(count)}, None if count < _PATIENCE else _NOT_FINITE


_NOT_FINITE = Stop(
    Status.STOPPED,
    f"the training loss was not finite in {_PATIENCE} rounds in a row; the state before them is "
    "kept: lower learning_rate, or take mixed_precision 'no'",
)


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
