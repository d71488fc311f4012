"""What samples are held against: real images of both folds, or reference statistics alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.metrics.extractor_choice import MADE_OF_IMAGES, named
from raybilevel.metrics.fid_kid import FrechetTo, Gaussian, Moments
from raybilevel.problems.base import Arrays
from raybilevel.problems.schedule.real_images.objective import moments

EXTRACTORS = ("objective", "second")
MOST_REAL = 2048  # that KID is taken to: its kernel is that number squared
_SUMS = ("count", "sum", "outer")


@dataclass(frozen=True, eq=False)
class Reference:
    """Real images as one extractor sees them.

    Attributes
    ----------
    train
        What FID is taken to: moments of the training images, or reference statistics. Those do not
        say of how many images they are: the bias that this number gives FID, of order one over it,
        stays, as that of the training images' number does, nearly the same for all samplers.
    held_out : features (m, F); None where there are statistics alone.
    """

    train: Moments | Gaussian
    held_out: np.ndarray | None

    @classmethod
    def of(cls, state: Arrays, name: str) -> Reference | None:
        """What a state holds for the extractor `name`; None where nothing real was seen by it."""
        if f"real_mean_{name}" in state:
            return cls(Gaussian(state[f"real_mean_{name}"], state[f"real_cov_{name}"]), None)
        if f"real_held_out_{name}" not in state:
            return None
        (train,) = moments({k: state[f"real_{k}_{name}"][None] for k in _SUMS})
        return cls(train, state[f"real_held_out_{name}"])


def floor_of(state: Arrays, name: str) -> float:
    """FID of the held-out images to the training ones: what perfect samples would get.

    By the extractor `name`; nan where there are no held-out images.
    """
    reference = Reference.of(state, name)
    if reference is None or reference.held_out is None:
        return float("nan")
    return FrechetTo(reference.train)(Moments.of(reference.held_out))


def check_given(data: str, objective: str, extractor: Any, second: Any) -> None:
    """Refuse KID, and extractors that reference statistics cannot be of.

    Parameters
    ----------
    data : the file of statistics.
    objective, extractor, second : as they were given.

    Raises
    ------
    InputError
        If the objective is KID, the extractor is made of images, or a second one is given.
    """
    if objective != "fid":
        raise InputError(
            f"objective is '{objective}', which is taken to images, but data '{data}' are "
            "reference statistics; take 'fid', or give images"
        )
    if extractor in (None, *MADE_OF_IMAGES):
        raise InputError(
            f"data '{data}' are reference statistics, but extractor '{extractor}' is made of "
            "images; give the extractor that they are of: 'inception', an nn.Module or its import "
            "path 'package.module:name'"
        )
    if second != "auto":
        raise InputError(
            f"second_extractor is given, but data '{data}' are reference statistics, which are "
            "those of one extractor; leave it out, or give images"
        )


def check_size(data: str, statistics: Gaussian, features: int, extractor: Any) -> None:
    """Refuse statistics of another number of features than the extractor has.

    Raises
    ------
    InputError
        Naming both numbers.
    """
    size = len(statistics.mean)
    if size != features:
        raise InputError(
            f"data '{data}' are reference statistics of {size:,} features, but extractor "
            f"{named(extractor)} gives {features:,}; give those of this extractor, or the one that "
            "they are of"
        )


def of_images(
    sums: Mapping[str, np.ndarray], held_out: Mapping[str, np.ndarray], names: tuple[str, ...]
) -> Arrays:
    """What a state keeps of real images: sums over the training fold, rows of the held-out one.

    Parameters
    ----------
    names : of extractors.
    """
    state: Arrays = {}
    for name in names:
        (total,) = moments(sums, f"/{name}")
        state |= {
            f"real_count_{name}": np.array(float(total.count)),
            f"real_sum_{name}": total.sum,
            f"real_outer_{name}": total.outer,
            f"real_held_out_{name}": held_out[f"features/{name}"],
        }
    return state


def of_statistics(statistics: Gaussian) -> Arrays:
    """What a state keeps of reference statistics, which are the objective's extractor's alone."""
    return {"real_mean_objective": statistics.mean, "real_cov_objective": statistics.cov}
