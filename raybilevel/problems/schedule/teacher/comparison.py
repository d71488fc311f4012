"""The comparison at the end: the learned list beside what diffusers offers, on fresh noises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raybilevel.lower.sampling.level_lists.stock import steps_for, stock_samplers
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.settings import TeacherComparison
from raybilevel.problems.schedule.teacher.shards import Through
from raybilevel.problems.schedule.teacher.update import mean_of

LEARNED = "learned"
COLUMNS = ("nfe", "distance", "distance_se", "gap", "gap_se")
"""Of each subject: evaluations a sample, mean squared distance to the teacher, and the gap: the
learned list's minus the subject's, on the same noises; with standard errors."""


def subjects(
    model: TaughtModel, steps: int, comparison: TeacherComparison, mu: float
) -> list[Through]:
    """What a learned list of `steps` levels is compared with: stock samplers.

    At as many evaluations, but for the model's own scheduler at `comparison.steps`; those that
    cannot walk so few are left out.

    Parameters
    ----------
    mu : that the pipeline gives its scheduler; nan where it gives none.
    """
    own = model.scheduler
    every = comparison.rivals == "all"
    choices = stock_samplers(own, every_spacing=every)
    found = {
        name: steps_for(own, choice, model.evaluations(steps), None if np.isnan(mu) else mu)
        for name, choice in choices.items()
    }
    rivals = [Through(n, scheduler=choices[n], steps=count) for n, count in found.items() if count]
    more = [Through(f"own, {count} steps", steps=count) for count in comparison.steps]
    return [Through("own", steps=steps), *rivals, *more]


def compared(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """The table (subjects, columns), of which the first subject is the learned list."""
    squares = rows["squares"]
    return np.array(
        [
            [nfe, *mean_of(mine), *mean_of(squares[:, 0] - mine)]
            for nfe, mine in zip(rows["nfe"][0], squares.T, strict=True)
        ]
    )


def frame(table: np.ndarray, names: Sequence[str]) -> Any:
    """The table as a data frame: subject, and the columns."""
    import pandas as pd

    return pd.DataFrame({"subject": list(names)}).join(pd.DataFrame(table, columns=list(COLUMNS)))
