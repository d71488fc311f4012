"""Upper-level variables: named numbers in a box, each stepped on a scale of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from raybilevel.errors import InputError

Scale = Literal["linear", "log"]
Vector = np.ndarray
"""A float64 array of shape (d,): one entry a variable."""


@dataclass(frozen=True)
class Variable:
    """One number that is tuned.

    Parameters
    ----------
    name
        What the number is called in the history (`config/<name>`).
    init
        Where the search begins; `low <= init <= high`.
    low, high
        The box; `low < high`, and `low > 0` on the log scale.
    scale
        "linear" or "log": what a step of the optimiser is measured in.

    Raises
    ------
    InputError
        If the box is empty, holds no `init`, or reaches zero on the log scale.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    init: float
    low: float
    high: float
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        where = f"variable '{self.name}'"
        for bound in ("init", "low", "high"):
            value = float(getattr(self, bound))
            object.__setattr__(self, bound, value)  # a vector of integers would round what is tuned
            if not math.isfinite(value):
                raise InputError(f"{where} has {bound} {value}, but it must be a finite number")
        if self.low >= self.high:
            raise InputError(
                f"{where} has low {self.low:g} >= high {self.high:g}; low must be less"
            )
        if not self.low <= self.init <= self.high:
            raise InputError(
                f"{where} has init {self.init:g} outside its bounds [{self.low:g}, {self.high:g}]"
            )
        if self.scale not in get_args(Scale):
            raise InputError(f"{where} has scale '{self.scale}'; it must be 'linear' or 'log'")
        if self.scale == "log" and self.low <= 0:
            raise InputError(f"{where} has scale 'log' but low {self.low:g}; low must be above 0")

    def to_scaled(self, value: float) -> float:
        """Where `value` lies on the scale that is stepped on."""
        return math.log(value) if self.scale == "log" else value

    def from_scaled(self, z: float) -> float:
        """Value at scaled coordinate `z`, clipped to the box (rounding can leave it)."""
        z = min(max(z, self.to_scaled(self.low)), self.to_scaled(self.high))
        value = math.exp(z) if self.scale == "log" else z
        return min(max(value, self.low), self.high)

    def slope(self, value: float) -> float:
        """Give d value / d z at `value`: turns a gradient in the value into one in z."""
        return value if self.scale == "log" else 1.0


class Box:
    """Several variables as one vector, in values or in scaled coordinates."""

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = tuple(variables)
        self.low = np.array([v.to_scaled(v.low) for v in self.variables])
        self.high = np.array([v.to_scaled(v.high) for v in self.variables])

    def to_scaled(self, x: Vector) -> Vector:
        """Scaled coordinates (d,) of values (d,)."""
        return np.array([v.to_scaled(float(a)) for v, a in zip(self.variables, x, strict=True)])

    def from_scaled(self, z: Vector) -> Vector:
        """Values (d,) at scaled coordinates (d,), inside the box."""
        return np.array([v.from_scaled(float(a)) for v, a in zip(self.variables, z, strict=True)])

    def slopes(self, x: Vector) -> Vector:
        """Give d value / d z at values (d,)."""
        return np.array([v.slope(float(a)) for v, a in zip(self.variables, x, strict=True)])

    def project(self, z: Vector) -> Vector:
        """Nearest scaled point inside the box."""
        return np.clip(z, self.low, self.high)
