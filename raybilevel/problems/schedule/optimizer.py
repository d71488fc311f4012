"""One step of the schedule's variables, by two-point gradients and Adam."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raybilevel.metrics.fid_kid import jackknife
from raybilevel.problems.base import Arrays, Metrics
from raybilevel.problems.schedule.real_images.objective import Objective, of_points
from raybilevel.problems.schedule.space import ScheduleSpace
from raybilevel.upper.optimisers.adam import Adam, cosine_decay
from raybilevel.upper.optimisers.zeroth_order import Kind, Pairs


def late(updates: int) -> int:
    """How many updates the second half is: their mean is what is found."""
    return math.ceil(updates / 2)


@dataclass(frozen=True, eq=False)
class PenaltyTerm:
    """The part of the gradient that does not come from pairs, and its standard error.

    Attributes
    ----------
    value, se : (d,), in the variables themselves.
    """

    value: np.ndarray
    se: np.ndarray


@dataclass(frozen=True, eq=False)
class TwoPointOptimizer:
    """Draws the pairs of an update, and steps along the gradient that they gave.

    Attributes
    ----------
    space : variables and levels.
    directions, kind : of the pairs.
    step_size : of the first update, as shares (d,) of the box; they decay to nothing.
    updates : how many there will be.
    """

    space: ScheduleSpace
    directions: int
    kind: Kind
    step_size: np.ndarray
    updates: int

    def pairs(self, update: int, state: Arrays) -> Pairs:
        """The points of the `update`-th update, from 1, about the state's x."""
        rng = np.random.default_rng([int(state["seed_base"]), update])
        return self.space.pairs(state["x"], rng, self.directions, self.kind)

    def levels(self, pairs: Pairs) -> list[np.ndarray]:
        """Levels at each of the pairs' points."""
        return [self.space.levels(self.space.from_unit(u)) for u in pairs.points]

    def begin(
        self, state: Arrays, x: np.ndarray, found: tuple[float, float]
    ) -> tuple[Arrays, Metrics]:
        """Begin at x (d,), where the objective was found to be so much; and the history's row."""
        begun = _stored(x, Adam.begin(self.space.to_unit(x))) | {"x_start": x}
        return state | begun, self.row(x, *found)

    def step(
        self,
        update: int,
        state: Arrays,
        pairs: Pairs,
        rows: Mapping[str, np.ndarray],
        *,
        objective: Objective,
        term: PenaltyTerm | None,
    ) -> tuple[Arrays, Metrics]:
        """The `update`-th update of x, from 1, and the history's row of where it was made.

        Parameters
        ----------
        pairs : that were evaluated.
        rows : what the samples at their points came to, point by point.
        term : added to the gradient where there is one.
        """
        x, sets = state["x"], of_points(objective, rows, 2 * self.directions)

        def both(*totals: object) -> np.ndarray:
            values = np.array([objective.value(total) for total in totals])  # type: ignore[arg-type]
            return np.append(pairs.gradient(values), values.mean())

        found, errors = jackknife(both, *sets, corrected=objective.biased)
        gradient, se, more = self._with_term(x, found[:-1], errors[:-1], term)
        row = self.row(x, float(found[-1]), float(errors[-1]), gradient, se) | more
        return state | self._stepped(update, state, gradient), row

    def _stepped(self, update: int, state: Arrays, gradient: np.ndarray) -> Arrays:
        """What changes in a state by Adam's step against a gradient (d,)."""
        step = self.space.to_unit_gradient(state["x"], gradient)
        size = self.step_size * cosine_decay(update - 1, self.updates)
        adam = _restored(self.space.to_unit(state["x"]), state)
        adam = adam.step(step, size, self.space.project)
        x = self.space.from_unit(adam.z)
        return {
            "gradients": np.vstack([state["gradients"], step[None]]),
            "trace": np.vstack([state["trace"], x[None]]),
        } | _stored(x, adam)

    def _with_term(
        self, x: np.ndarray, found: np.ndarray, errors: np.ndarray, term: PenaltyTerm | None
    ) -> tuple[np.ndarray, np.ndarray, Metrics]:
        """Gradient and its error (d,) in the variables, and what share of it is the term's."""
        gradient, se = self.space.in_values(x, found), self.space.in_values(x, errors)
        if term is None:
            return gradient, se, {}
        ours, theirs = (
            float(np.linalg.norm(self.space.to_unit_gradient(x, g))) for g in (term.value, gradient)
        )
        share = {"penalty_share": ours / max(ours + theirs, np.finfo(float).tiny)}
        return gradient + term.value, np.hypot(se, term.se), share

    def average(self, trace: np.ndarray) -> np.ndarray:
        """Mean (d,) of the second half of x (updates, d), over which noise averages out."""
        last = trace[-late(len(trace)) :]
        mean = np.mean([self.space.to_unit(x) for x in last], axis=0)
        return self.space.from_unit(self.space.project(mean))

    def row(
        self,
        x: np.ndarray,
        loss: float,
        loss_se: float,
        gradient: np.ndarray | None = None,
        se: np.ndarray | None = None,
    ) -> Metrics:
        """The history's row at values x (d,), with what is known of the gradient there."""
        nothing = np.full(len(x), np.nan)
        gradient, se = (nothing if a is None else a for a in (gradient, se))
        row = {"upper_loss": loss, "upper_loss_se": loss_se}
        for i, v in enumerate(self.space.schedule.variables):
            row[f"config/{v.name}"] = float(x[i])
            row[f"gradient/{v.name}"], row[f"gradient_se/{v.name}"] = (
                float(gradient[i]),
                float(se[i]),
            )
        return row


def _stored(x: np.ndarray, adam: Adam) -> Arrays:
    return {
        "x": x,
        "adam_mean": adam.mean,
        "adam_square": adam.square,
        "adam_steps": np.array(adam.steps),
    }


def _restored(u: np.ndarray, state: Mapping[str, np.ndarray]) -> Adam:
    return Adam(u, state["adam_mean"], state["adam_square"], int(state["adam_steps"]))
