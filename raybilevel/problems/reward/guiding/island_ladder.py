"""A ladder whose rungs are islands of guided paths, which are resampled on their way.

A rung's samples begin anew, so that none is as correlated with the rung before as one that was
moved from there; what an island says of Z is unbiased by itself.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Self

import numpy as np

from raybilevel.problems.base import Arrays, Metrics, Output, Stage
from raybilevel.problems.reward.annealing.plan import LadderPlan
from raybilevel.problems.reward.annealing.rung import further
from raybilevel.problems.reward.drawing.island_rows import islands_a_shard
from raybilevel.problems.reward.drawing.paths import shard_of
from raybilevel.problems.reward.pool_plan import counted, grown
from raybilevel.problems.reward.shards import GuideIslands
from raybilevel.problems.seeds import sample_seeds
from raybilevel.upper.prompts import Prompts

COLUMNS: dict[str, np.ndarray] = {
    "pool/path": np.empty(0, np.int64),
    "pool/ancestor": np.empty(0, np.int64),
}
"""What rows of a pool have beside those of a ladder, as `GuideIslands` has them; -1 of p0."""

_FEWEST_EACH = 8  # paths of an island: fewer say little of Z


@dataclass(frozen=True)
class IslandLadder(LadderPlan):
    """Islands and paths of a rung, which costs about as much as one of samples that are moved.

    More, where few samples are drawn of many prompts: an island has eight paths at least.

    Attributes
    ----------
    each : paths of an island.
    evaluations : of a step of a guided path.
    """

    each: int
    evaluations: int

    @classmethod
    def of_paths(
        cls, islands: int, size: int, shard_size: int, prompts: int, evaluations: int
    ) -> Self:
        """For rungs of about as many evaluations as `size` samples take, of so many prompts."""
        paths = size // (prompts * evaluations)
        least = LadderPlan.of(islands, 0, shard_size, prompts).islands
        of_each = least if prompts == 1 else max(min(paths // _FEWEST_EACH, islands), least)
        return cls(of_each, 1, shard_size, max(paths // of_each, _FEWEST_EACH), evaluations)

    @property
    def samples_per_prompt(self) -> int:
        """That a rung has: all paths."""
        return self.islands * self.each

    @property
    def evaluations_per_prompt(self) -> int:
        """Of a rung, in those of as many samples."""
        return self.samples_per_prompt * self.evaluations


def next_islands(
    state: Arrays, plan: IslandLadder, prompts: Prompts, lower: np.ndarray
) -> Generator[Stage, Output, Arrays]:
    """The state with a rung more, towards its heading; prompts that are there wait for others.

    Parameters
    ----------
    state : with a schedule.
    prompts : which prompt each sample (n,) is of; lower : (n, K) their lower rewards.
    """
    last, moving, scales = further(state, plan, prompts, lower)
    islands = np.flatnonzero(np.repeat(moving, plan.islands))
    drawn = yield Stage(tuple(_shards(state, plan, scales, islands)))
    rows = dict(drawn.rows)
    log_z = last.log_z.copy()
    log_z.ravel()[islands] = rows.pop("log_z")[:: plan.each]
    count, rung = len(rows["pool/seed"]), len(state["rungs_scale"])
    rows |= {
        "pool/rung": np.full(count, rung),
        "pool/island": np.repeat(islands, plan.each),
        "pool/parent": np.full(count, -1),
        "pool/accepted": np.ones(count, bool),
        "pool/rho": np.zeros(count),
    }
    new = {"rungs_scale": scales, "rungs_log_z": log_z}
    new |= {name: state[name][-1] for name in ("rungs_rho", "rungs_tilt_sd", "rungs_acceptance")}
    added = {name: np.concatenate([state[name], a[None]]) for name, a in new.items()}
    return grown(state, rows) | counted(state, drawn.sums) | added


def _shards(
    state: Arrays, plan: IslandLadder, scales: np.ndarray, islands: np.ndarray
) -> list[GuideIslands]:
    """Of whole islands each, as many as a worker draws at once; one at least."""
    taus, first = tuple(state["guided_taus"].tolist()), len(state["pool/seed"])
    seeds = np.array(sample_seeds(state["seed_base"], first, first + len(islands) * plan.each))
    of, found = np.repeat(islands // plan.islands, plan.each), []
    places = _places(state)
    step = islands_a_shard(plan.shard_size, plan.each) * plan.each
    for start in range(0, len(seeds), step):
        part = slice(start, start + step)
        named = None if places is None else places[of[part]]
        found.append(GuideIslands(shard_of(seeds[part], scales[of[part]], taus, named), plan.each))
    return found


def _places(state: Arrays) -> np.ndarray | None:
    """(C,) of the prompts in the problem's list, as the samples of p0 have them; None without."""
    return np.unique(state["pool/prompt"]) if "pool/prompt" in state else None


def row_of_islands(state: Arrays) -> Metrics:
    """What the history says of a state's last rung in place of how samples were moved there."""
    last, distinct = len(state["rungs_scale"]) - 1, math.nan
    if last:
        rows = np.flatnonzero(state["pool/rung"] == last)
        pairs = np.column_stack([state["pool/island"][rows], state["pool/ancestor"][rows]])
        distinct = len(np.unique(pairs, axis=0)) / len(np.unique(pairs[:, 0]))
    return {"rho": math.nan, "distinct_ancestors": distinct}
