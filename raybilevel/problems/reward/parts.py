"""What single prompts, and groups of them, say where all of them end: `parts.parquet`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raybilevel.problems.reward.convergence import StopReason, stop_reason
from raybilevel.problems.reward.pool_objective import PoolObjective, PoolPoint
from raybilevel.problems.reward.pool_solver import searched
from raybilevel.problems.reward.prompts import PromptList
from raybilevel.problems.reward.targets.objective import TargetObjective
from raybilevel.upper.penalty import Pool
from raybilevel.upper.prompts import Prompts


@dataclass(frozen=True, eq=False)
class Part:
    """Some of an objective's prompts.

    Attributes
    ----------
    kind : "group" or "prompt".
    rows : (m,) of the pool.
    objective : on these rows alone, shares summing to one.
    """

    kind: str
    name: str
    prompts: int
    rows: np.ndarray
    objective: PoolObjective


def parts_of(
    objective: PoolObjective, names: Sequence[str], groups: Sequence[str] | None
) -> Iterator[Part]:
    """Every group, if there are any, and then every prompt.

    Parameters
    ----------
    objective : over several prompts.
    names : of the prompts (C,); groups : what each belongs to (C,).
    """
    assert objective.prompts is not None, "one prompt has no parts"
    of = np.array([] if groups is None else groups)
    for group in dict.fromkeys(of.tolist()):
        yield _part(objective, "group", group, np.flatnonzero(of == group))
    for place, name in enumerate(names):
        yield _part(objective, "prompt", name, np.array([place]))


def _part(whole: PoolObjective, kind: str, name: str, places: np.ndarray) -> Part:
    prompts = whole.prompts
    assert prompts is not None, "there are several"
    counts, ends = prompts.counts, np.cumsum(prompts.counts)
    rows = np.concatenate([prompts.order[ends[c] - counts[c] : ends[c]] for c in places])
    within = None
    if len(places) > 1:
        shares = prompts.shares[places]
        of = np.repeat(np.arange(len(places)), counts[places])
        within = Prompts(of, shares / shares.sum())
    pool = Pool(whole.pool.upper[rows], whole.pool.lower[rows])
    return Part(kind, name, len(places), rows, replace(whole, pool=pool, prompts=within))


def described(part: Part, x: np.ndarray, held_out: np.ndarray | None) -> dict[str, Any]:
    """A part's row of the table.

    Parameters
    ----------
    x : (d,) where all prompts end.
    held_out : (n,) rewards that are never optimised, of the whole pool.
    """
    point = part.objective.at(x)
    found = point.diagnostics
    row: dict[str, Any] = {
        "kind": part.kind, "name": part.name, "prompts": part.prompts, "samples": len(part.rows),
        "kl": point.exact.tilts[0].kl, "ess": found.ess,
        **_reached(point),
    }  # fmt: skip
    if held_out is not None:
        row["held_out"], row["held_out_se"] = point.mean(held_out[part.rows])
    return row | {"healthy": found.ok, **_alone(part, found.samples_needed, healthy=found.ok)}


def _reached(point: PoolPoint) -> dict[str, float]:
    """The upper reward, or what a target is about."""
    e = point.exact
    if isinstance(point.objective, TargetObjective):
        return {"target": e.value, "target_se": e.value_se}
    return {"reward": -e.value, "reward_se": e.value_se}


def _alone(part: Part, needed: float, *, healthy: bool) -> dict[str, float]:
    """What would be best for this part alone, with its interval; nan where it is unknown.

    `samples_needed` is then how many of this part the gates ask for, nan where none help.
    """
    variables, nothing = part.objective.variables, np.full(len(part.objective.variables), math.nan)
    best, (low, high) = nothing, (nothing, nothing)
    if healthy or part.kind == "group":  # a search on what the gates refuse already is for nothing
        solution = searched(part.objective)
        refused = solution.refused or solution.ahead
        needed = math.nan if refused is None else refused.samples_needed
        if stop_reason(solution) is StopReason.CONVERGED:
            best, (low, high), needed = solution.x, solution.bounds, math.nan
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

    Columns: kind, name, prompts, samples, kl, ess, reward, reward_se (with a target what is
    reached: target, target_se), held_out, held_out_se, healthy, alone/<variable> with alone_low and
    alone_high, samples_needed.
    """
    import pandas as pd

    names = [str(condition) for condition in prompts.conditions]
    parts = parts_of(objective, names, prompts.groups)
    rows = [described(part, x, held_out) for part in parts]
    pd.DataFrame(rows).to_parquet(directory / "parts.parquet")
