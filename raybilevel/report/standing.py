"""How methods stand at the end of a comparison: pure tables from what it wrote."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FOLLOWED = "bilevel"
"""The method that follows the gradient."""

DEFAULT = "default"
"""The initial values, untuned."""

_CONFIDENCE = 0.95
_COSTS = ("nfe_total", "worker_seconds_total", "time_total_s", "upper_evaluations")
_RESAMPLES = 9999
_TOLERANCE = 0.01  # of the way from the initial score to the best, for the regret


def standings(rows: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each method, the best first.

    Parameters
    ----------
    rows : `comparison.parquet`: every value of the objective that a method saw, and its costs.
    scores : `scores.parquet`: what it would have ended with, and what that is worth.

    Columns: method, seeds, failed, score and its interval (`score_low`, `score_high`), the paired
    difference bilevel minus it over seeds (`gap`, `gap_low`, `gap_high`), nfe_total,
    worker_seconds_total, time_total_s (medians), and over seeds the median cost at which it reached
    what the bilevel method found with the same seed: `nfe_to_level`, `evaluations_to_level`, inf
    where half of the seeds never did; `reached` counts those that did. The other way round, what
    the bilevel method had spent when it reached what this one found: `bilevel_nfe`,
    `bilevel_reached`.
    """
    import pandas as pd

    last = scores.groupby(["method", "seed"], sort=False).tail(1).set_index(["method", "seed"])
    level = last.loc[FOLLOWED]["score"] if FOLLOWED in last.index.get_level_values(0) else None
    spent = rows.groupby(["method", "seed"], sort=False).tail(1).set_index(["method", "seed"])
    table = []
    for method in rows["method"].unique():
        there = method in last.index.get_level_values(0)
        mine = last.loc[method] if there else last.droplevel(0).iloc[:0]
        row = {"method": method, "seeds": len(mine), "failed": int(mine["failed"].sum())}
        row |= dict(zip(("score", "score_low", "score_high"), _mean(mine["score"]), strict=True))
        row |= {name: float(spent.loc[method][name].median()) for name in _COSTS}
        if level is not None:
            gaps = (level - mine["score"]).dropna()
            row |= dict(zip(("gap", "gap_low", "gap_high"), _mean(gaps), strict=True))
            nfe, evaluations = _reached(scores[scores["method"] == method], level)
            row |= {"reached": float(np.isfinite(nfe).sum()), "nfe_to_level": _middle(nfe)}
            row |= {"evaluations_to_level": _middle(evaluations)}
            nfe, _ = _reached(scores[scores["method"] == FOLLOWED], mine["score"])
            row |= {"bilevel_reached": float(np.isfinite(nfe).sum()), "bilevel_nfe": _middle(nfe)}
        table.append(row)
    return pd.DataFrame(table).sort_values("score", ignore_index=True)


def _mean(values: pd.Series) -> tuple[float, float, float]:
    """Mean over seeds and its bootstrap interval (percentile); nan for one seed."""
    from scipy.stats import bootstrap

    found = values.to_numpy(float)
    if len(found) < 2:
        return (float(found[0]) if len(found) else np.nan), np.nan, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # equal values have an interval of no width
        interval = bootstrap(
            (found,), np.mean, confidence_level=_CONFIDENCE, n_resamples=_RESAMPLES,
            method="percentile", rng=np.random.default_rng(0),
        ).confidence_interval  # fmt: skip
    return float(found.mean()), float(interval.low), float(interval.high)


def _reached(scores: pd.DataFrame, level: pd.Series) -> tuple[list[float], list[float]]:
    """By seed the NFE, and the evaluations, at which a method's scores first were at the level."""
    nfe, evaluations = [], []
    for seed in level.index:  # of which a method may have no result at all
        rows = scores[scores["seed"] == seed]
        there = rows[rows["score"] <= level[seed]]
        nfe.append(float(there["nfe_total"].min()) if len(there) else np.inf)
        evaluations.append(float(there["upper_evaluations"].min()) if len(there) else np.inf)
    return nfe, evaluations


def _middle(costs: list[float]) -> float:
    return float(np.median(costs)) if costs else np.inf


def regrets(scores: pd.DataFrame) -> pd.DataFrame:
    """Cost from which on each method was within 1 % of F(initial) - F(best), by method and seed.

    Initial is what "default" has, best the best of all; inf where a method never was.
    """
    import pandas as pd

    initial = scores[scores["method"] == DEFAULT]["score"].mean()
    best = scores["score"].min()
    bar = best + _TOLERANCE * (initial - best)
    rows = []
    for (method, seed), mine in scores.groupby(["method", "seed"], sort=False):
        at = _stays(mine, bar)
        rows.append(
            {
                "method": method,
                "seed": seed,
                "nfe": np.inf if at is None else at["nfe_total"],
                "upper_evaluations": np.inf if at is None else at["upper_evaluations"],
            }
        )
    return pd.DataFrame(rows)


def _stays(scores: pd.DataFrame, bar: float) -> pd.Series | None:
    """The row from which on what a method would have ended with is below the bar.

    Rows of the same cost are one search: what counts of it later on is its last.
    """
    costs = scores["nfe_total"].to_numpy()
    below = (scores["score"] <= bar).to_numpy()
    last = np.append(costs[1:] != costs[:-1], True)
    later = np.logical_and.accumulate((below | ~last)[::-1])[::-1]
    for cost in np.unique(costs):
        here = np.flatnonzero(costs == cost)
        if later[here[0]] and below[here[-1]]:
            first = here[np.logical_and.accumulate(below[here][::-1])[::-1]][0]
            return scores.iloc[first]
    return None
