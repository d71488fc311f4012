"""Searches on one shared pool, by reweighting: the cheapest baselines of the reward problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.baselines.outcome import Outcome, records
from raybilevel.baselines.space import grid, initial, optuna_space
from raybilevel.problems.base import Arrays, Problem
from raybilevel.problems.reward.problem import RewardTuning
from raybilevel.report.standing import DEFAULT

if TYPE_CHECKING:
    import pandas as pd

_ROUNDS = 8  # after each of which the pool is searched
_COSTS = ("time_total_s", "nfe_total", "worker_seconds_total")

Landscape = Callable[[np.ndarray], float]


def pool_problem(problem: RewardTuning, budget: int) -> Problem:
    """What draws as large a pool as the budget allows, evenly in rounds; a table is there."""
    start = {"x": np.array([v.init for v in problem.variables])}
    if problem.pool is not None:
        return problem.evaluation([start])
    size = budget // problem.source.nfe_per_sample
    if problem.prompt_count is not None:  # as many of each, within the budget
        size = size // problem.prompt_count * problem.prompt_count
    return problem.evaluation([start], size, rounds=_ROUNDS)


def search_pool(
    name: str, problem: RewardTuning, drawn: pd.DataFrame, state: Arrays, *, seed: int,
    grid_points: int, evaluations: int,
) -> Outcome:  # fmt: skip
    """Search the pool as it was after each of its rounds.

    Parameters
    ----------
    name : "pool-grid" or "pool-tpe"; on a table "default", too.
    drawn : the history of drawing it.
    state : what drawing ended with.
    grid_points, evaluations : along each variable; of TPE.
    """
    points = {
        DEFAULT: lambda f: _initial(problem, f),
        "pool-grid": lambda f: _grid(problem, f, grid_points),
        "pool-tpe": lambda f: _tpe(problem, f, evaluations, seed),
    }[name]
    rows: list[dict[str, Any]] = []
    for round_ in drawn.to_dict("records"):
        f = problem.landscape(_first(state, int(round_["pool_size"])))
        same = {"method": name, "seed": seed, "trial_id": name}
        same |= {column: round_[column] for column in _COSTS}
        rows += [same | _row(problem, x, loss) for x, loss in points(f)]
    return _outcome(problem, rows)


def _initial(problem: RewardTuning, f: Landscape) -> Iterator[tuple[np.ndarray, float]]:
    x = np.array([v.init for v in problem.variables])
    yield x, f(x)


def _grid(problem: RewardTuning, f: Landscape, points: int) -> Iterator[tuple[np.ndarray, float]]:
    for x in grid(problem.variables, points):
        yield x, f(x)


def _tpe(
    problem: RewardTuning, f: Landscape, evaluations: int, seed: int
) -> Iterator[tuple[np.ndarray, float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(initial(problem.variables))
    space = optuna_space(problem.variables)
    for _ in range(evaluations):
        asked = study.ask(space)
        x = np.array([asked.params[v.name] for v in problem.variables])
        loss = f(x)
        study.tell(asked, loss)
        yield x, loss


def _first(state: Arrays, count: int) -> Arrays:
    """The state with the first of its pool."""
    return {k: a[:count] if k.startswith("pool/") else a for k, a in state.items()}


def _row(problem: RewardTuning, x: np.ndarray, loss: float) -> dict[str, Any]:
    named = {f"config/{v.name}": float(a) for v, a in zip(problem.variables, x, strict=True)}
    return {"upper_loss": loss, **named}


def _outcome(problem: RewardTuning, rows: list[dict[str, Any]]) -> Outcome:
    """On a larger pool the search begins anew: what a smaller one found is left."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    frame["training_iteration"] = np.arange(1, len(frame) + 1)
    # a pool is searched once: smaller ones only show what less would have given
    frame["upper_evaluations"] = frame.groupby("nfe_total").cumcount() + 1
    at = [
        group.index[i]
        for _, group in frame.groupby("nfe_total", sort=True)
        for i in records(group["upper_loss"].tolist())
    ]
    x = frame[[f"config/{v.name}" for v in problem.variables]].to_numpy(float)
    return Outcome(frame, [{"x": x[i]} for i in at], np.array(at, dtype=int))
