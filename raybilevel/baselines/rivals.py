"""Other ways to draw by the reward, where the bilevel method has ended, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.problems.base import Arrays
from raybilevel.problems.reward.problem import RewardTuning
from raybilevel.problems.reward.rivals.evaluation import of_p_x
from raybilevel.problems.reward.rivals.methods import RIVALS

if TYPE_CHECKING:
    import pandas as pd

P_X = "p_x"
"""The bilevel method's own samples, in the table of the ways to draw."""


def rival_frame(
    problem: RewardTuning, end: Arrays, nfe: int, rivals: Sequence[str], state: Arrays
) -> pd.DataFrame:
    """A row for p_x, and one for each way: NFE, samples an image, every reward, the KL.

    Parameters
    ----------
    end, nfe : state of the bilevel method's run, and what it has spent.
    state : that the evaluation of the ways ended with.
    """
    import pandas as pd

    means, errors, kl = of_p_x(problem, end)
    rows = [_row(problem, P_X, means, errors) | {"nfe": nfe, "kl": kl, "kl_is": "estimate"}]
    for i, name in enumerate(rivals):
        row = _row(problem, name, state["rival_means"][i], state["rival_errors"][i])
        row |= {"nfe": int(state["rival_nfe"][i]), "samples_an_image": int(state["rival_each"][i])}
        rows.append(row | {"kl": float(state["rival_kl"][i]), "kl_is": RIVALS[name].kl_is})
    return pd.DataFrame(rows)


def _row(problem: RewardTuning, name: str, means: np.ndarray, errors: np.ndarray) -> dict[str, Any]:
    row: dict[str, Any] = {"way": name}
    for column, mean, error in zip(problem.columns, means, errors, strict=True):
        row |= {column: float(mean), f"{column}_se": float(error)}
    return row
