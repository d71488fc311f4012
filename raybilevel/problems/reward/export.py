"""What a reward run leaves behind: samples before and after, a table's weights, the curve."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.named_pipeline import DRAWN_IN
from raybilevel.problems.pictures import COLUMNS, write_captioned_grid, write_grid
from raybilevel.problems.prompts.prompt_list import PromptList
from raybilevel.problems.reward.annealing.metrics import nearest_rung
from raybilevel.problems.reward.history import LIKE_THESE
from raybilevel.problems.reward.pool_objective import PoolObjective, PoolPoint
from raybilevel.problems.reward.pool_table import PoolTable
from raybilevel.problems.reward.shown.along import AlongLambda
from raybilevel.problems.reward.shown.rows import shown_prompts
from raybilevel.problems.reward.targets.objective import TargetObjective
from raybilevel.upper.within import EstimateOverPrompts

_POINTS = 121


def dtype_drawn(state: Arrays) -> str | None:
    """The dtype in which workers drew a pool, where that was left to their devices.

    That of most samples: a pool of several is marked inexact already.
    """
    counts = {key: int(value) for key, value in state.items() if key.startswith(DRAWN_IN)}
    return max(counts, key=counts.__getitem__).removeprefix(DRAWN_IN) if counts else None


def write_samples(state: Arrays, prompts: PromptList | None, directory: Path) -> None:
    """PNG grids of samples from p0 and from p_x, where the samples are images.

    With prompts a row is of one of them, and `samples/prompts.txt` says of which. Of moved samples
    there are ancestors of some too.
    """
    folder = directory / "samples"
    folder.mkdir()
    rows = 0 if prompts is None else shown_prompts(len(prompts))
    for name in ("before", "after"):
        samples = state.get(f"samples_{name}")
        if samples is not None and _are_images(samples):
            write_grid(samples, folder / f"{name}.png", len(samples) // rows if rows else COLUMNS)
    if _are_images(state.get("samples_descendants", np.empty(0))):
        _write_descendants(state, prompts, folder)
    if prompts is not None:
        shown = map(str, prompts.conditions[:rows])
        (folder / "prompts.txt").write_text("".join(f"{p}\n" for p in shown), encoding="utf-8")
        if "samples_along" in state and _are_images(state["samples_along"]):
            _write_along(state, prompts, folder)


def _are_images(samples: np.ndarray) -> bool:
    return samples.ndim == 4 and samples.shape[1] in (1, 3)


def _write_along(state: Arrays, prompts: PromptList, folder: Path) -> None:
    """`along_lambda.png`, a row a prompt and a column a lambda, and which these are as text."""
    captions = [_captions(lambdas) for lambdas in state["along_lambdas"]]
    flat = [caption for row in captions for caption in row]
    path = folder / "along_lambda.png"
    write_captioned_grid(state["samples_along"], flat, path, len(captions[0]))
    shown = [prompts.conditions[c] for c in state["along_prompts"]]
    lines = [f"{p}: {', '.join(row)}\n" for p, row in zip(shown, captions, strict=True)]
    (folder / "along_lambda.txt").write_text("".join(lines), encoding="utf-8")


def _write_descendants(state: Arrays, prompts: PromptList | None, folder: Path) -> None:
    """`descendants.png`, a row a particle and a column a rung, and their prompts as text."""
    rungs, lambdas = state["descendants_rungs"], state["descendants_lambdas"]
    named = zip(rungs.ravel(), lambdas.ravel(), strict=True)
    captions = [_of_rung(int(rung), float(lambda_)) for rung, lambda_ in named]
    path = folder / "descendants.png"
    write_captioned_grid(state["samples_descendants"], captions, path, rungs.shape[1])
    if prompts is not None:
        lines = [f"{prompts.conditions[c]}\n" for c in state["descendants_prompts"]]
        (folder / "descendants.txt").write_text("".join(lines), encoding="utf-8")


def _of_rung(rung: int, lambda_: float) -> str:
    """What a sample of a rung is called: by lambda where that is tuned."""
    if rung == 0:
        return "p0"
    return f"rung {rung}" if math.isnan(lambda_) else f"{lambda_:.3g}"


def _captions(lambdas: np.ndarray) -> list[str]:
    """What a prompt's lambdas (L,) are called: the first is that of p0, one where the run ended."""
    said = ["p0", *(f"{value:.3g}" for value in lambdas[1:])]
    said[AlongLambda.END] = f"best {said[AlongLambda.END]}"
    return said


def write_weights(state: Arrays, weights: np.ndarray, table: PoolTable, directory: Path) -> None:
    """`weights.parquet`: how much each row (n,) of a table counts under p_x.

    Columns: row, from 0 on; prompt, where there are any; weight. Weights sum to one, and within a
    prompt to its share.
    """
    import pandas as pd

    columns: dict[str, Any] = {"row": state["pool/row"]}
    if table.prompts is not None:
        prompts = table.prompts.conditions
        columns["prompt"] = pd.Categorical.from_codes(state["pool/prompt"], prompts)
    pd.DataFrame({**columns, "weight": weights}).to_parquet(directory / "weights.parquet")


def write_curve(objective: PoolObjective, x: np.ndarray, directory: Path) -> None:
    """`curve.parquet`: the objective over each variable's bounds, the others held at `x` (d,).

    Of a group's own variables it is that group's objective.
    Columns: variable, value, upper_loss, upper_loss_se, ess, healthy, and over prompts
    upper_loss_se_prompts_like_these; with a target what is reached, as target, target_se, ... Of
    moved samples `rung` is in place of ess: the one that has most of the weight there. Where a gate
    fails (not `healthy`) the numbers are for the picture alone, to show where they stop.
    """
    import pandas as pd

    curves = objective.by_variable(x)
    rows = [row for one, here, place in curves for row in _curve(one, here, place)]
    pd.DataFrame(rows).to_parquet(directory / "curve.parquet")


def _curve(objective: PoolObjective, x: np.ndarray, place: int) -> Iterator[dict[str, Any]]:
    v, values = objective.variables[place], x.copy()
    for z in np.linspace(v.to_scaled(v.low), v.to_scaled(v.high), _POINTS):
        values[place] = v.from_scaled(z)
        at = objective.at(values.copy())
        yield {"variable": v.name, "value": values[place], **_drawn(at)}


def _drawn(point: PoolPoint) -> dict[str, float | bool]:
    """The curve at one point."""
    e, found, rung = point.estimate, point.diagnostics, nearest_rung(point)
    name = "target" if isinstance(point.objective, TargetObjective) else "upper_loss"
    row = {
        name: e.value,
        f"{name}_se": e.value_se,
        **({"ess": found.ess} if rung is None else {"rung": rung}),
        "healthy": found.ok,
    }
    if isinstance(e, EstimateOverPrompts) and point.objective.several is not None:
        row[f"{name}_se{LIKE_THESE}"] = e.value_se_of_prompts
    return row
