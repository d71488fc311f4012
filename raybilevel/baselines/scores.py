"""What every method found, and would have found earlier, on the same fresh samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raybilevel.baselines.outcome import Outcome
from raybilevel.problems.base import Arrays

if TYPE_CHECKING:
    import pandas as pd


def distinct(outcomes: Sequence[Outcome]) -> tuple[list[Arrays], list[list[int]]]:
    """All different ends, and for each outcome which of them its own are."""
    ends: list[Arrays] = []
    places: dict[bytes, int] = {}
    found = []
    for outcome in outcomes:
        mine = []
        for end in outcome.ends:
            key = b"".join(np.ascontiguousarray(end[name]).tobytes() for name in sorted(end))
            if key not in places:
                places[key] = len(ends)
                ends.append(end)
            mine.append(places[key])
        found.append(mine)
    return ends, found


def score_frame(
    outcomes: Sequence[Outcome], places: Sequence[Sequence[int]], state: Arrays
) -> pd.DataFrame:
    """A row for each end: the method's history there, `score` and `score_se`.

    Parameters
    ----------
    places : as `distinct` gives them.
    state : that the scoring ended with.
    """
    import pandas as pd

    frames = []
    for outcome, mine in zip(outcomes, places, strict=True):
        rows = outcome.rows.iloc[outcome.at].reset_index(drop=True)
        scores = {"score": state["scores"][list(mine)], "score_se": state["scores_se"][list(mine)]}
        frames.append(rows.assign(**scores, failed=outcome.failed))
    return pd.concat(frames, ignore_index=True)
