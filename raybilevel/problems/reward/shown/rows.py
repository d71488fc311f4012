"""Which of a pool's samples are drawn again when a run ends, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.prompts.prompt_list import prompt_places
from raybilevel.problems.reward.annealing.rungs import counting, counting_rows
from raybilevel.problems.reward.drawing.island_rows import are_in_islands
from raybilevel.problems.reward.pool_objective import PoolPoint
from raybilevel.problems.reward.shown.along import AlongLambda
from raybilevel.problems.reward.shown.descendants import Descendants
from raybilevel.upper.resampling import resample

_SHOWN = 32  # samples of p0 and of p_x in the run directory
_SHOWN_PROMPTS, _SHOWN_EACH = 8, 8


@dataclass(frozen=True, eq=False)
class ShownRows:
    """Rows of a pool: with prompts as many of each of the first few, prompt by prompt.

    Attributes
    ----------
    before, after : (m,) of p0, and of p_x.
    along : from the one to the other and beyond, where there are prompts, and lambda is tuned.
    descendants : of p_x and their ancestors, where samples were moved.
    """

    before: np.ndarray
    after: np.ndarray
    along: AlongLambda | None = None
    descendants: Descendants | None = None

    @classmethod
    def of(
        cls, state: Arrays, point: PoolPoint, weights: np.ndarray, prompts: int | None
    ) -> ShownRows:
        """Of a state's pool, where it ends.

        Parameters
        ----------
        weights : of the samples that count.
        prompts : how many there are, each with as many samples; None without prompts.
        """
        seed, of_pool = int(state["seed_base"]), counting_rows(state)
        rng, descendants = np.random.default_rng(seed), Descendants.of(state, point)
        if prompts is None:
            before, after = _rows(weights, rng)
            after = _side_by_side(state, after, 1)
            return cls(of_pool[before], of_pool[after], None, descendants)
        before, after = _rows_by_prompt(counting(state), weights, prompts, rng)
        after = _side_by_side(state, after, shown_prompts(prompts))
        along = AlongLambda.of(point.objective, point.x, seed, shown_prompts(prompts))
        if along is not None:
            along = replace(along, rows=of_pool[along.rows])
        return cls(of_pool[before], of_pool[after], along, descendants)

    @cached_property
    def grids(self) -> np.ndarray:
        """Rows before, and then after."""
        return np.concatenate([self.before, self.after])

    @cached_property
    def more(self) -> np.ndarray:
        """Distinct rows along lambda, and of ancestors, that are in neither grid."""
        found = [each.rows.ravel() for each in (self.along, self.descendants) if each is not None]
        return np.setdiff1d(np.concatenate([np.empty(0, np.int64), *found]), self.grids)

    def samples(self, drawn: np.ndarray) -> Arrays:
        """What of the state they are.

        Parameters
        ----------
        drawn : the samples of `grids`, and after them those of `more`.
        """
        before, after = np.split(drawn[: len(self.grids)], [len(self.before)])
        shown = {"samples_before": before, "samples_after": after}
        for name, each in (("along", self.along), ("descendants", self.descendants)):
            if each is not None:
                shown[f"samples_{name}"] = drawn[self._places(each.rows)]
                shown |= {f"{name}_{column}": getattr(each, column) for column in each.NAMES}
        return shown

    def _places(self, rows: np.ndarray) -> np.ndarray:
        """Where rows of the pool are among what is drawn."""
        drawn = np.concatenate([self.grids, self.more])
        order = np.argsort(drawn, kind="stable")
        return order[np.searchsorted(drawn, rows.ravel(), sorter=order)]


def shown_prompts(prompts: int) -> int:
    """How many of so many prompts have samples in the run directory: the first."""
    return min(_SHOWN_PROMPTS, prompts)


def _rows(weights: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Of p0, and as many of p_x, whose weights (n,) are given."""
    count = min(_SHOWN, len(weights))
    return np.arange(count), resample(weights, count, rng)


def _side_by_side(state: Arrays, rows: np.ndarray, prompts: int) -> np.ndarray:
    """Each prompt's in the order of the pool where islands are drawn again whole, each once."""
    if not are_in_islands(state):
        return rows
    return np.sort(rows.reshape(prompts, -1), axis=1).ravel()


def _rows_by_prompt(
    state: Arrays, weights: np.ndarray, prompts: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """As many of each of the first prompts."""
    count = min(_SHOWN_EACH, len(weights) // prompts)
    before, after = [], []
    for prompt in prompt_places(state, prompts)[: shown_prompts(prompts)]:
        rows = np.flatnonzero(state["pool/prompt"] == prompt)
        share = weights[rows] / weights[rows].sum()
        before.append(rows[:count])
        after.append(rows[resample(share, count, rng)])
    return np.concatenate(before), np.concatenate(after)
