"""The comparison at the end: the learned levels beside what diffusers offers, on fresh noises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raybilevel.metrics.fid_kid import FrechetTo, Moments, jackknife, kid, kid_difference
from raybilevel.problems.base import Arrays
from raybilevel.problems.schedule.real_images.reference import Reference
from raybilevel.problems.schedule.shards import Subject
from raybilevel.problems.schedule.worker import EXTRACTORS

LEARNED = "learned"
ROUNDED = "learned, rounded"  # to timesteps that a stock scheduler takes
NEAREST = "nearest to stock"  # the best stock spacing, as near as the schedule comes to it
INITIAL = "initial schedule"  # evenly spaced in the time of the schedule before it was learned
OURS = (LEARNED, ROUNDED, NEAREST, INITIAL)
_CHUNKS = 32  # of the jackknife
COLUMNS = tuple(
    f"{metric}{column}{judge}"
    for judge in ("", "_second")
    for metric in ("fid", "kid")
    for column in ("", "_se", "_gap", "_gap_se")
)
"""Of each subject: FID to the training data and unbiased KID to the held-out data, their standard
errors, and the gap: the learned levels' minus the subject's, on the same noises; by the objective's
extractor and by the second, which was never optimised. FID is without its bias of order 1/n. Where
there are reference statistics alone, what needs images or another extractor is nan."""


def compare(state: Arrays, rows: Mapping[str, np.ndarray], subjects: int) -> np.ndarray:
    """The table (subjects, columns); the first subject is the learned one."""
    judged = []
    for name in EXTRACTORS:
        reference = Reference.of(state, name)
        if reference is None:
            judged.append(np.full((subjects, len(COLUMNS) // len(EXTRACTORS)), np.nan))
            continue
        features = np.split(rows[f"features/{name}"], subjects)
        judged.append(np.array([_judge(reference, features[0], f) for f in features]))
    return np.concatenate(judged, axis=1)


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


def _judge(reference: Reference, learned: np.ndarray, subject: np.ndarray) -> list[float]:
    """One subject by one extractor: `COLUMNS` up to the second."""
    to = FrechetTo(reference.train)
    sets = [[Moments.of(c) for c in np.array_split(f, _CHUNKS)] for f in (subject, learned)]

    def both(of_subject: Moments, of_learned: Moments) -> np.ndarray:
        alone = to(of_subject)
        return np.array([alone, to(of_learned) - alone])

    values, errors = jackknife(both, *sets, corrected=True)
    by_fid = [values[0], errors[0], values[1], errors[1]]
    if reference.held_out is None:
        return [*by_fid, *4 * [np.nan]]
    alone = kid(subject, reference.held_out)
    gap = kid_difference(learned, subject, reference.held_out)
    return [*by_fid, *alone, *gap]


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
    return named.join(pd.DataFrame(table, columns=list(COLUMNS)))
