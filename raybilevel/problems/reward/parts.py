"""What single prompts, and groups of them, say where all of them end: `parts.parquet`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.convergence import StopReason, samples_wanted, stop_reason
from raybilevel.problems.reward.pool_objective import PoolObjective, PoolPoint, Restricted
from raybilevel.problems.reward.pool_solver import searched
from raybilevel.problems.reward.targets.objective import TargetObjective


@dataclass(frozen=True, eq=False)
class Part:
    """Some of an objective's prompts.

    Attributes
    ----------
    kind : "group" or "prompt".
    group : which it is, or belongs to; None where there are none.
    of : their rows, and the objective on these alone.
    x : (d,) where they end.
    """

    kind: str
    name: str
    group: str | None
    prompts: int
    of: Restricted
    x: np.ndarray


def parts_of(
    objective: PoolObjective, x: np.ndarray, names: Sequence[str], groups: Sequence[str] | None
) -> Iterator[Part]:
    """Every group, if there are any, and then every prompt.

    Parameters
    ----------
    objective : over several prompts.
    x : (d,) where all of them end.
    names : of the prompts (C,); groups : what each belongs to (C,).
    """
    of = np.array([] if groups is None else groups)
    places = [("group", g, np.flatnonzero(of == g)) for g in dict.fromkeys(of.tolist())]
    places += [("prompt", name, np.array([place])) for place, name in enumerate(names)]
    for kind, name, some in places:
        group = None if groups is None else groups[some[0]]
        yield Part(kind, name, group, len(some), *objective.of_prompts(some, x))


def described(part: Part, held_out: np.ndarray | None) -> dict[str, Any]:
    """A part's row of the table.

    Parameters
    ----------
    held_out : (n,) rewards that are never optimised, of the whole pool.
    """
    point = part.of.objective.at(part.x)
    found, moved = point.diagnostics, point.objective.strata is not None
    row: dict[str, Any] = {
        "kind": part.kind, "name": part.name, "group": part.group, "prompts": part.prompts,
        "samples": len(part.of.rows), "kl": point.exact.tilts[0].kl,
        **({"log_z_sd": found.log_z_sd} if moved else {"ess": found.ess}),
        **_reached(point),
    }  # fmt: skip
    if held_out is not None:
        row["held_out"], row["held_out_se"] = point.mean(held_out[part.of.rows])
    return row | {"healthy": found.ok, **_alone(part, found.samples_needed, healthy=found.ok)}


def _reached(point: PoolPoint) -> dict[str, float]:
    """The upper reward, or what a target is about."""
    e = point.exact
    if isinstance(point.objective, TargetObjective):
        return {"target": e.value, "target_se": e.value_se}
    return {"reward": -e.value, "reward_se": e.value_se}


def _alone(part: Part, needed: float, *, healthy: bool) -> dict[str, float]:
    """What would be best for this part alone, with its interval; nan where it is unknown.

    `samples_needed` is then how many of this part the gates ask for, nan where nobody can tell.
    """
    objective = part.of.objective
    variables, nothing = objective.variables, np.full(len(objective.variables), math.nan)
    best, (low, high) = nothing, (nothing, nothing)
    if objective.coefficients.are_free:  # what is shared is held by other groups alone
        needed = math.nan
    elif (
        healthy or part.kind == "group"
    ):  # a search on what the gates refuse already is for nothing
        solution = searched(objective)
        needed = samples_wanted(solution)
        if stop_reason(solution) is StopReason.CONVERGED:
            best, (low, high) = solution.x, solution.bounds
    named = {"alone": best, "alone_low": low, "alone_high": high}
    columns = {
        f"{name}/{v.name}": float(a)
        for name, values in named.items()
        for v, a in zip(variables, values, strict=True)
    }
    return {**columns, "samples_needed": float(needed)}


def write_parts(
    objective: PoolObjective,
    x: np.ndarray,
    prompts: PromptList,
    held_out: np.ndarray | None,
    directory: Path,
) -> None:
    """`parts.parquet`: at x (d,) a row each group, and each prompt.

    Columns: kind, name, group, prompts, samples, kl, ess (of moved samples log_z_sd), reward,
    reward_se (with a target what is reached: target, target_se), held_out, held_out_se, healthy,
    alone/<variable> with alone_low and alone_high, samples_needed.
    """
    import pandas as pd

    names = [str(condition) for condition in prompts.conditions]
    parts = parts_of(objective, x, names, prompts.groups)
    rows = [described(part, held_out) for part in parts]
    pd.DataFrame(rows).to_parquet(directory / "parts.parquet")
