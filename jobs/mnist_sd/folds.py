"""Who sees which of the 5,000 digits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch

from raybilevel.data import Dataset, load

_MODEL, _JUDGE = 3000, 1000


@dataclass(frozen=True)
class Folds:
    """Parts without a digit in common: 3,000 for the model, 1,000 for each of two judges.

    The held-out judge's digits are what the others are examined on, and the other way round.
    """

    model: Dataset
    judge: Dataset
    held_out: Dataset


def folds() -> Folds:
    """Split at random, the same way each time."""
    data = load("mnist5k")
    order = torch.randperm(len(data.images), generator=torch.Generator().manual_seed(0))
    ends = [0, _MODEL, _MODEL + _JUDGE, _MODEL + 2 * _JUDGE]
    rows = [order[first:last] for first, last in itertools.pairwise(ends)]
    return Folds(*(Dataset(data.images[part], data.labels[part]) for part in rows))
