"""Where a level is crossed first on the way from one end, as far as values can be believed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Value = Callable[[float], tuple[float, bool]]
"""Maps z to a value, and whether it can be believed there."""

_STEP = 0.1
_HALVINGS = 10


@dataclass(eq=False)
class Walk:
    """What was seen on the way.

    Attributes
    ----------
    zs, values : what can be believed, in order; empty where the start itself cannot.
    refused : the nearest z that cannot be believed, if there was one.
    """

    value: Value
    level: float
    zs: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    refused: float | None = None

    @property
    def crossed(self) -> bool:
        """Whether the level lies between the last two values."""
        if len(self.values) < 2:
            return False
        before, after = (v - self.level for v in self.values[-2:])
        return before * after <= 0

    @property
    def begins_above(self) -> bool:
        """Whether the level is below the first value."""
        return self.values[0] > self.level

    def step(self, z: float) -> bool:
        """Look at `z`; whether there is reason to go on."""
        found, believed = self.value(z)
        if not believed:
            self.refused = z
            return False
        self.zs.append(z)
        self.values.append(found)
        return not self.crossed

    def approach(self) -> None:
        """Go on towards what was refused, by halves."""
        for _ in range(_HALVINGS):
            if self.refused is None or not self.zs or self.crossed:
                return
            self.step((self.zs[-1] + self.refused) / 2)

    def back_from(self, z: float, value: Value) -> Walk:
        """As near to `z` as can be believed by another `value`, looked for from there backwards."""
        way = Walk(value, self.level, refused=z)
        for near in self.zs[::-1]:
            if way.zs:
                break
            if (near > z) == (self.zs[0] > z) and near != z:
                way.step(near)
        way.approach()
        return way

    def root(self) -> float:
        """Where between the last two the level is crossed (Brent 1973, chapter 4)."""
        from scipy.optimize import brentq

        return float(brentq(lambda z: self.value(z)[0] - self.level, *self.zs[-2:]))


def walk_to(level: float, value: Value, start: float, end: float) -> Walk:
    """From `start` to where `level` is crossed, to what cannot be believed, or to `end`."""
    walk = Walk(value, level)
    for z in np.linspace(start, end, math.ceil(abs(end - start) / _STEP) + 1).tolist():
        if not walk.step(z):
            break
    walk.approach()
    return walk
