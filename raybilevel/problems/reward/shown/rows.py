"""Which of a pool's samples are drawn again when a run ends, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.pool_objective import PoolPoint
from raybilevel.problems.reward.pool_plan import prompt_places, resample

_SHOWN = 32  # samples of p0 and of p_x in the run directory
_SHOWN_PROMPTS, _SHOWN_EACH = 8, 8


@dataclass(frozen=True, eq=False)
class ShownRows:
    """Rows of a pool: with prompts as many of each of the first few, prompt by prompt.

    Attributes
    ----------
    before, after : (m,) of p0, and of p_x.
    """

    before: np.ndarray
    after: np.ndarray

    @classmethod
    def of(cls, state: Arrays, point: PoolPoint, prompts: int | None) -> ShownRows:
        """Of a state's pool, where it ends.

        Parameters
        ----------
        prompts : how many there are, each with as many samples; None without prompts.
        """
        rng = np.random.default_rng(int(state["seed_base"]))
        if prompts is None:
            return cls(*_rows(point.weights, rng))
        return cls(*_rows_by_prompt(state, point.weights, prompts, rng))

    def samples(self, drawn: np.ndarray) -> Arrays:
        """What of the state they are, once they are drawn, one after the other."""
        before, after = np.split(drawn, [len(self.before)])
        return {"samples_before": before, "samples_after": after}


def shown_prompts(prompts: int) -> int:
    """How many of so many prompts have samples in the run directory: the first."""
    return min(_SHOWN_PROMPTS, prompts)


def _rows(weights: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Of p0, and as many of p_x, whose weights (n,) are given."""
    count = min(_SHOWN, len(weights))
    return np.arange(count), resample(weights, count, rng)


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
