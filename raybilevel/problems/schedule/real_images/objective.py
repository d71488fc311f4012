"""What the schedule problems minimise: FID or KID, from what shards return of their samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal, Protocol

import numpy as np

from raybilevel.metrics.fid_kid import FrechetTo, Gaussian, KidTo, Moments, jackknife
from raybilevel.problems.base import Arrays
from raybilevel.upper.sums import SampleSums

ObjectiveName = Literal["fid", "kid"]


class Objective(Protocol):
    """Sees samples in chunks: rows cross processes, and a chunk's parts add.

    Attributes
    ----------
    biased : whether the value has a bias of order 1/n, for n samples.
    """

    biased: bool

    def rows(self, features: np.ndarray) -> Arrays:
        """What one chunk of features (n, F) comes to, each of shape (1, ...)."""
        ...

    def parts(self, rows: Mapping[str, np.ndarray]) -> list[Moments | Mean]:
        """The chunks of rows (c, ...), as things that add."""
        ...

    def value(self, total: Moments | Mean) -> float:
        """The objective of a sum of chunks."""
        ...


class Fid:
    """FID to the moments of the training data, or to reference statistics.

    `reference` may be left out where rows are made.
    """

    biased = True

    def __init__(self, reference: Moments | Gaussian | None = None) -> None:
        self._to = None if reference is None else FrechetTo(reference)

    def rows(self, features: np.ndarray) -> Arrays:
        """Count, sum and outer sum."""
        return moment_rows(Moments.of(features))

    def parts(self, rows: Mapping[str, np.ndarray]) -> list[Moments | Mean]:
        """The chunks' moments."""
        return list(moments(rows))

    def value(self, total: Moments | Mean) -> float:
        """FID, at least 0."""
        assert self._to is not None and isinstance(total, Moments)
        return self._to(total)

    def slopes(self, rows: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives in E[h] (F,) and E[h h^T] (F, F) at all chunks of rows together."""
        assert self._to is not None
        return self._to.slopes(reduce(add, moments(rows)))


@dataclass(frozen=True)
class Mean(SampleSums):
    """A sum of numbers and how many they are."""

    count: float
    sum: float


class Kid:
    """Unbiased KID to real features (m, F), a chunk at a time; they are needed for rows alone."""

    biased = False

    def __init__(self, real: np.ndarray | None = None) -> None:
        self._to = None if real is None else KidTo(real)

    def rows(self, features: np.ndarray) -> Arrays:
        """Samples of the chunk, and its KID times that."""
        assert self._to is not None
        n = len(features)
        return {"count": np.array([float(n)]), "sum": np.array([n * self._to(features)])}

    def parts(self, rows: Mapping[str, np.ndarray]) -> list[Moments | Mean]:
        """The chunks' KIDs."""
        return [
            Mean(float(n), float(total))
            for n, total in zip(rows["count"], rows["sum"], strict=True)
        ]

    def value(self, total: Moments | Mean) -> float:
        """Mean over samples of their chunk's KID."""
        return float(total.sum / total.count)


def of_points(
    objective: Objective, rows: Mapping[str, np.ndarray], points: int
) -> list[list[Moments | Mean]]:
    """The chunks of each of the points that were evaluated: rows go point by point."""
    parts = objective.parts(rows)
    chunks = len(parts) // points
    return [parts[i * chunks : (i + 1) * chunks] for i in range(points)]


def measure(objective: Objective, parts: Sequence[Moments | Mean]) -> tuple[float, float]:
    """The objective at a point with these chunks, and its standard error."""
    value, se = jackknife(objective.value, parts, corrected=objective.biased)
    return float(value), float(se)


def moment_rows(total: Moments) -> Arrays:
    """Moments as rows of one chunk."""
    return {
        "count": np.array([float(total.count)]),
        "sum": total.sum[None],
        "outer": total.outer[None],
    }


def moments(rows: Mapping[str, np.ndarray], suffix: str = "") -> list[Moments]:
    """The moments in rows of any number of chunks, whose names end in `suffix`."""
    columns = (rows[f"{name}{suffix}"] for name in ("count", "sum", "outer"))
    return [Moments(float(n), s, outer) for n, s, outer in zip(*columns, strict=True)]
