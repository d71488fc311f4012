"""The comparison at the end: the learned levels beside what diffusers offers, on fresh noises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raybilevel.problems.schedule.real_images.judging import JUDGED
from raybilevel.problems.schedule.shards import Subject

LEARNED = "learned"
ROUNDED = "learned, rounded"  # to timesteps that a stock scheduler takes
NEAREST = "nearest to stock"  # the best stock spacing, as near as the schedule comes to it
INITIAL = "initial schedule"  # evenly spaced in the time of the schedule before it was learned
OURS = (LEARNED, ROUNDED, NEAREST, INITIAL)


def list_subjects(
    ours: Mapping[str, np.ndarray], scheduler: Mapping[str, Any], more_steps: Sequence[int]
) -> list[Subject]:
    """What is compared: levels (steps,) by name, learned first, and then the stock schedulers.

    Stock schedulers are given other numbers of steps too; those that cannot walk so many are left
    out.

    Parameters
    ----------
    scheduler : config of the noise schedule that they walk on.
    more_steps : numbers of steps beside that of the levels.
    """
    from raybilevel.lower.sampling.stock_schedulers import stock_names

    n = len(ours[LEARNED])
    learned = [Subject(name, n, tuple(levels.tolist())) for name, levels in ours.items()]
    stock = [
        Subject(name, steps)
        for steps in (n, *(s for s in more_steps if s != n))
        for name in stock_names(scheduler, steps)
    ]
    return learned + stock


def frame(table: np.ndarray, subjects: Sequence[Subject], evaluations: np.ndarray) -> Any:
    """The table as a data frame: subject, steps, nfe (evaluations a sample), and the columns."""
    import pandas as pd

    named = pd.DataFrame(
        {
            "subject": [s.name for s in subjects],
            "steps": [s.steps for s in subjects],
            "nfe": evaluations.astype(int),
        }
    )
    return named.join(pd.DataFrame(table, columns=list(JUDGED)))
