"""The comparison at the end: the learned list beside what diffusers offers, on fresh noises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raybilevel.lower.sampling.level_lists.stock import Choice, published_lists, stock_samplers
from raybilevel.problems.schedule.teacher.model import TaughtModel
from raybilevel.problems.schedule.teacher.settings import TeacherComparison
from raybilevel.problems.schedule.teacher.shards import Through
from raybilevel.problems.schedule.teacher.update import mean_of

LEARNED = "learned"
START = "start of the search"
COLUMNS = ("nfe", "distance", "distance_se", "distance_median", "gap", "gap_se")
"""Of each subject: evaluations a sample; mean squared distance to the teacher, and its median, as
few samples that go elsewhere than the teacher's can make up the mean; and the gap: the learned
list's mean minus the subject's, on the same noises. With standard errors."""


def rival_choices(model: TaughtModel, comparison: TeacherComparison) -> dict[str, Choice]:
    """Stock samplers by name, as {class, options}."""
    return stock_samplers(model.base, every_spacing=comparison.rivals == "all")


def subjects(
    model: TaughtModel, steps: int, comparison: TeacherComparison, rival_steps: np.ndarray
) -> list[Through]:
    """What a learned list of `steps` levels is compared with: stock samplers, published lists.

    At as many evaluations, but for the model's own scheduler at `comparison.steps`; those that
    cannot walk so few are left out.

    Parameters
    ----------
    rival_steps : of each of `rival_choices`, 0 for those that are left out.
    """
    choices = rival_choices(model, comparison)
    rivals = [
        Through(name, scheduler=choice, steps=int(count))
        for (name, choice), count in zip(choices.items(), rival_steps, strict=True)
        if count
    ]
    steps_besides = dict.fromkeys(comparison.steps)
    more = [Through(f"own, {count} steps", steps=count) for count in steps_besides]
    lists = published_lists(model.base, steps).items()
    published = [Through(name, tuple(sigmas.tolist())) for name, sigmas in lists]
    return [Through("own", steps=steps), *rivals, *published, *more]


def compared(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """The table (subjects, columns), of which the first subject is the learned list."""
    squares = rows["squares"]
    return np.array(
        [
            [nfe, *mean_of(mine), float(np.median(mine)), *mean_of(squares[:, 0] - mine)]
            for nfe, mine in zip(rows["nfe"][0], squares.T, strict=True)
        ]
    )


def frame(table: np.ndarray, names: Sequence[str]) -> Any:
    """The table as a data frame: subject, and the columns."""
    import pandas as pd

    return pd.DataFrame({"subject": list(names)}).join(pd.DataFrame(table, columns=list(COLUMNS)))
