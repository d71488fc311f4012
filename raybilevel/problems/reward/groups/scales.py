"""What prompts' samples are tilted by, s = w / lambda, of groups where there are any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raybilevel.problems.reward.coefficients import Coefficients
from raybilevel.problems.reward.groups.coefficients import GroupedCoefficients


def scales_at(
    coefficients: Coefficients, x: np.ndarray, prompts: int, groups: Sequence[str] | None
) -> np.ndarray:
    """The s (C, K) of so many prompts at x (d,).

    Parameters
    ----------
    groups : what each prompt belongs to; None where coefficients are the same for all.
    """
    if not isinstance(coefficients, GroupedCoefficients):
        return np.tile(_scales(coefficients, x), (prompts, 1))
    assert groups is not None, "each prompt is of a group"
    places, parts = coefficients.places, coefficients.parts
    by_group = {group: _scales(parts[group], x[places[group]]) for group in parts}
    return np.stack([by_group[group] for group in groups])


def _scales(coefficients: Coefficients, x: np.ndarray) -> np.ndarray:
    """(K,)."""
    lambda_, *weights = coefficients.at(x)
    return np.array(weights) / lambda_
