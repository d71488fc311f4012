"""The driver's side of learning the schedule while the network trains.

Xiao et al. 2025, arXiv 2502.08808, Algorithm 6, with the upper steps late: round 0 sees the real
images, `warmup` rounds train alone, the next one looks for where to begin, and of the rounds that
are left `updates` move the schedule too; one more compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raybilevel.problems.base import Arrays, Output, PlacedShard, Stage, Status, Stop, Update
from raybilevel.problems.schedule.objective import Fid
from raybilevel.problems.schedule.optimizer import Metrics, Term
from raybilevel.problems.schedule.sampling_rounds import Rounds
from raybilevel.problems.schedule.training_spec import LEARNER, SAMPLED, Lesson

_PATIENCE = 3  # rounds in a row whose training may come to nothing


@dataclass(frozen=True, eq=False)
class Learned:
    """What a round's training came to.

    Attributes
    ----------
    state : the driver's, from here on.
    row : of the history.
    sampled : (P,) weights that the round's samples are drawn with.
    term : the penalty term of an update, where z was trained.
    """

    state: Arrays
    row: Metrics
    sampled: np.ndarray
    term: Term | None


@dataclass(frozen=True, eq=False)
class Course:
    """Which rounds do what, and what becomes of the network in each.

    Attributes
    ----------
    rounds : looks, updates and the comparison.
    lesson : what training shards are told.
    length : rounds that train.
    shards, steps : training shards a round, and AdamW steps of each.
    warmup : rounds that train before anything is learned of the schedule.
    updates : rounds that move it; 0 where it is fixed.
    gamma : of the penalty, in the first and in the last update.
    decay : of the weights' moving average, a round.
    evaluate_every : rounds between two evaluations while nothing is updated.
    """

    rounds: Rounds
    lesson: Lesson
    length: int
    shards: int
    steps: int
    warmup: int
    updates: int
    gamma: tuple[float, float] | None
    decay: float
    evaluate_every: int

    def stage(self, round_: int, state: Arrays, done: list[Output]) -> Stage | Update:
        """What to do next in this round."""
        if round_ == 0:
            return self._see(state, done)
        if round_ > self.length:
            step = self.rounds.end(round_, state, done, self._found(state))
            return _sampled(step, state["average"]) if isinstance(step, Stage) else step
        asks_first = int(self._minds(round_))
        if len(done) <= asks_first:
            return self._train(round_, state, done)
        learned = self._learned(round_, state, done[asks_first])
        if learned is None:
            return self._refused(state)
        step = self._upper(round_, learned, done[asks_first + 1 :], len(done))
        if isinstance(step, Stage):
            return _sampled(step, learned.sampled)
        return replace(step, metrics=step.metrics | learned.row)

    def _see(self, state: Arrays, done: list[Output]) -> Stage | Update:
        seen = self.rounds.see(state, done)
        if isinstance(seen, Stage):
            return seen
        nothing = np.nan, np.nan  # is known yet; a look that fails leaves the start where it is
        return Update(*self.rounds.solver.begin(seen, state["x"], nothing))

    # --- the lower level --------------------------------------------------------------------------

    def _minds(self, round_: int) -> bool:
        """Whether z is trained too in this round."""
        return self.lesson.z_step != "none" and self._update(round_) is not None

    def _train(self, round_: int, state: Arrays, done: list[Output]) -> Stage:
        args: dict[str, Any] = {"first": (round_ - 1) * self.steps, "count": self.steps}
        broadcast = {name: state[name] for name in (*LEARNER, "x")}
        if self._minds(round_):
            if not done:
                asked = self.rounds.evaluate(round_, state, [], 0)
                assert isinstance(asked, Stage)
                return _sampled(asked, state["average"])
            args |= {"levels": self._levels(state), "gamma": self._gamma(round_)}
            broadcast |= self._slopes(state, done[0])
        shards = [PlacedShard(round_, len(done), i, "train", args) for i in range(self.shards)]
        return Stage(tuple(shards), broadcast)

    def _levels(self, state: Arrays) -> list[float]:
        levels: list[float] = self.rounds.search.levels(state["x"]).tolist()
        return levels

    def _slopes(self, state: Arrays, out: Output) -> Arrays:
        """FID's derivatives in the moments of samples at x."""
        objective = self.rounds.objective(state)
        assert isinstance(objective, Fid), "z minds FID alone"
        mean, outer = objective.slopes(out.rows)
        return {"slope_mean": mean, "slope_outer": outer}

    def _gamma(self, round_: int) -> float:
        """On its way from the first to the last update, by equal factors."""
        assert self.gamma is not None, "z needs gamma"
        first, last = self.gamma
        update = self._update(round_)
        assert update is not None
        return float(first * (last / first) ** ((update - 1) / max(self.updates - 1, 1)))

    def _learned(self, round_: int, state: Arrays, out: Output) -> Learned | None:
        """The mean of what the shards learned; None where it is not finite."""
        mean = {name: out.sums[name] / np.float32(self.shards) for name in out.sums}
        if not all(np.isfinite(a).all() for a in (*mean.values(), *out.rows.values())):
            return None
        seen = int(state["rounds_learned"])
        keep = np.float32(min(self.decay, (1 + seen) / (10 + seen)))
        average = keep * state["average"] + (1 - keep) * mean["weights"]
        counts = {"rounds_learned": np.array(seen + 1), "rounds_refused": np.array(0)}
        state = state | {name: mean[name] for name in LEARNER} | {"average": average} | counts
        row = {
            "lower_loss": float(out.rows["loss"].mean()),
            "learning_rate": self.lesson.recipe.rate((round_ - 1) * self.steps),
        }
        if "weights_z" not in mean:
            return Learned(state, row, average, None)
        gamma = self._gamma(round_)
        gaps = gamma * (out.rows["slope_z"] - out.rows["slope_y"])
        term = Term(gaps.mean(axis=0), gaps.std(axis=0, ddof=1) / np.sqrt(len(gaps)))
        # sampled from is the average, displaced as f displaces z
        sampled = average + (mean["weights_z"] - mean["weights"])
        return Learned(state, row | {"gamma": gamma}, sampled, term)

    def _refused(self, state: Arrays) -> Update:
        """The round leaves no trace but its count."""
        refused = int(state["rounds_refused"]) + 1
        state = state | {"rounds_refused": np.array(refused)}
        if refused < _PATIENCE:
            return Update(state, self._nothing(state["x"]))
        return Update(
            state,
            self._nothing(state["x"]),
            Stop(
                Status.STOPPED,
                f"the training loss was not finite in {_PATIENCE} rounds in a row; the state "
                "before them is kept: lower learning_rate, or take mixed_precision 'no'",
            ),
        )

    # --- the upper level --------------------------------------------------------------------------

    def _update(self, round_: int) -> int | None:
        """Which update the round makes, from 1; they are spread evenly, the last in the last."""
        if not self.updates or round_ <= self.warmup + 1:
            return None
        left, passed = self.length - self.warmup - 1, round_ - self.warmup - 1
        update = self.updates * passed // left
        return update if update > self.updates * (passed - 1) // left else None

    def _upper(
        self, round_: int, learned: Learned, done: list[Output], number: int
    ) -> Stage | Update:
        state = learned.state
        if self.updates and round_ == self.warmup + 1:
            return self.rounds.begin(round_, state, done, number)
        update = self._update(round_)
        if update is not None:
            return self.rounds.update(round_, state, done, number, update=update, term=learned.term)
        if round_ % self.evaluate_every or round_ == self.length:  # the end evaluates anyway
            return Update(state, self._nothing(state["x"]))
        found = self.rounds.evaluate(round_, state, done, number)
        if isinstance(found, Stage):
            return found
        row = self._nothing(state["x"]) | {"upper_loss": found[0], "upper_loss_se": found[1]}
        return Update(state, row)

    def _found(self, state: Arrays) -> Sequence[np.ndarray]:
        if not len(state["trace"]):
            return [state["x"]]
        return [self.rounds.solver.average(state["trace"]), state["x_start"]]

    def _nothing(self, x: np.ndarray) -> Metrics:
        """A row of which the objective is not known."""
        return self.rounds.solver.row(x, np.nan, np.nan)


def _sampled(stage: Stage, weights: np.ndarray) -> Stage:
    return replace(stage, broadcast={**stage.broadcast, SAMPLED: weights})


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
