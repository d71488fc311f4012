"""From the variables of a schedule to the noise levels that are visited.

The search goes on in the unit box: every variable's scaled coordinate from its low (0) to its
high (1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from raybilevel import schedules
from raybilevel.errors import InputError
from raybilevel.schedules import Schedule
from raybilevel.upper.optimisers.zeroth_order import Kind, Pairs, draw_directions
from raybilevel.upper.variables import Box, Variable, Vector

_DELTA = 0.004  # half a pair's distance, as a share of the box
_GAP = 0.25  # least rise in log-SNR from one knot to the next
_CROWDED = 0.25  # at most this share of the box may go into gaps
_TOUCH = 0.4  # pairs move a knot by at most this share of the gap: neighbours never cross
_LOWEST = -12.0  # below, float32 images carry more rounding than an export may differ by
_TRIED = 24  # starting points beside the stock spacings
_LADDERS = ((-7.0, -1.5), (1.5, 7.0), (0.6, 1.6))  # first and last log-SNR, power
_RAMP = 1e-3  # levels that leave the trained range stay this far apart at its end


def make_schedule(
    kind: str, steps: int, bounds: tuple[float, float], options: Mapping[str, Any]
) -> Schedule:
    """The schedule that is tuned.

    Parameters
    ----------
    kind : a registered schedule: "knots", "cosine", "sigmoid", or another package's.
    steps : knots, one for each level that is visited.
    bounds : least and greatest log-SNR that the network knows: the default bounds of knots.
    options : arguments of the schedule's function, such as `{"tau": Variable(...)}`.

    Raises
    ------
    InputError
        If an option is unknown or wrong, as where bounds cross.
    """
    options = {name: _option(name, value) for name, value in options.items()}
    try:
        if kind != "knots":
            return schedules.load_schedule(kind)(**options)
        low, high = max(bounds[0], _LOWEST), min(bounds[1], -_LOWEST)
        gap = min(_GAP, _CROWDED * (high - low) / steps)
        return schedules.knots(steps, **{"low": low, "high": high, "gap": gap, **options})
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"schedule_options do not fit schedule '{kind}': {error}") from error


def _option(name: str, value: Any) -> Any:
    """An option with a mapping, as YAML has it, made a `Variable`, and a word a number."""
    where = f"schedule_options.{name}"
    if isinstance(value, Mapping):
        try:
            return Variable(**value)
        except TypeError as error:
            raise InputError(
                f"{where} is {dict(value)}, but a variable has name, init, low, high and scale"
            ) from error
    if not isinstance(value, str):
        return value
    try:
        return float(value)  # YAML takes 1e-4 for a word
    except ValueError:
        raise InputError(f"{where} is '{value}'; it must be a number or a variable") from None


def _spread(d: int) -> np.ndarray:
    """Points (n, d) of the unit box, the same each time; without Halton's first, a corner."""
    from scipy.stats.qmc import Halton

    return Halton(d, scramble=False).random(_TRIED + 1)[1:]


def _ladder(k: int, first: float, last: float, power: float) -> Vector:
    """Levels (k,) from log-SNR `first` to `last`, denser at the noisy end for powers above 1."""
    return first + (last - first) * np.linspace(0, 1, k) ** power


@dataclass(frozen=True, eq=False)
class ScheduleSpace:
    """A schedule whose levels a sampler visits in `steps` steps.

    Attributes
    ----------
    schedule : what is tuned.
    steps : levels visited.
    bounds : least and greatest log-SNR that the network knows.
    """

    schedule: Schedule
    steps: int
    bounds: tuple[float, float]

    @cached_property
    def box(self) -> Box:
        """The variables' bounds in scaled coordinates."""
        return Box(self.schedule.variables)

    def to_unit(self, x: Vector) -> Vector:
        """Unit coordinates (d,) of values (d,)."""
        return (self.box.to_scaled(x) - self.box.low) / self._width

    def from_unit(self, u: Vector) -> Vector:
        """Values (d,) at unit coordinates (d,)."""
        return self.box.from_scaled(self.box.low + u * self._width)

    def project(self, u: Vector) -> Vector:
        """Nearest admissible unit coordinates (d,)."""
        x = self.box.from_scaled(self.box.project(self.box.low + u * self._width))
        return self.to_unit(self.schedule.project(x))

    @property
    def _width(self) -> Vector:
        return self.box.high - self.box.low

    def levels(self, x: Vector) -> Vector:
        """Log-SNR (steps,), rising, at t = 1, (steps - 1)/steps, ..., 1/steps."""
        return self.levels_at(x, np.arange(self.steps, 0, -1) / self.steps)

    def levels_at(self, x: Vector, t: Vector) -> Vector:
        """Log-SNR (k,), rising, at falling times t (k,).

        Where the schedule leaves what the network was trained on, its levels stay at the end of
        it, a little apart.
        """
        import torch

        logsnr = self.schedule.logsnr(torch.tensor(x), torch.tensor(t)).numpy()
        apart = _RAMP * np.arange(len(t))
        low, high = max(self.bounds[0], _LOWEST), self.bounds[1]
        return np.clip(logsnr, low + apart, high - apart[::-1])

    def nearest(self, levels: Vector) -> Vector:
        """The variables (d,) whose levels are nearest to `levels` (k,), rising."""
        k = len(levels)
        return self.schedule.fit(levels[::-1].copy(), np.arange(1, k + 1) / k)

    def starts(self, stock: Iterable[Vector]) -> list[Vector]:
        """Where the search may begin: nearest to each of `stock` levels, at init, or elsewhere.

        The objective has several minima, and the nearest to a stock spacing need not be the best:
        so low-discrepancy points are looked at too, over the box, or for knots over ladders of
        levels from low to high that are denser at one end or at the other.
        """
        if self.has_knots:
            low, high = np.transpose(_LADDERS)
            ladders = low + _spread(len(_LADDERS)) * (high - low)
            tried = [self.nearest(_ladder(self.steps, *ladder)) for ladder in ladders]
        else:
            tried = [self.from_unit(u) for u in _spread(len(self.box.low))]
        return [*(self.nearest(levels) for levels in stock), self.schedule.init, *tried]

    @property
    def has_knots(self) -> bool:
        """Whether the variables are the levels themselves."""
        return hasattr(self.schedule, "gap")

    def admissible(self, x: Mapping[str, float]) -> dict[str, float]:
        """Levels in rising order, a gap apart; other schedules' parameters as they are."""
        names = [v.name for v in self.schedule.variables]
        values = np.array([x[name] for name in names])
        found = self.schedule.project(np.sort(values) if self.has_knots else values)
        return dict(zip(names, found.tolist(), strict=True))

    def pairs(self, x: Vector, rng: np.random.Generator, directions: int, kind: Kind) -> Pairs:
        """Points about values `x` (d,) in the unit box, along fresh directions."""
        d = len(x)
        rows = draw_directions(rng, directions, d, kind)
        return Pairs.inside(self.to_unit(x), rows, self.delta, np.zeros(d), np.ones(d))

    @property
    def delta(self) -> float:
        """Half the distance of a pair, in the unit box."""
        if not self.has_knots:
            return _DELTA
        gap: float = self.schedule.gap  # type: ignore[attr-defined]
        return min(_DELTA, _TOUCH * gap / float(self._width.max()))

    def in_values(self, x: Vector, gradient: Vector) -> Vector:
        """A gradient (d,) in unit coordinates as one in the variables themselves."""
        return gradient / self._width / self.box.slopes(x)

    def to_unit_gradient(self, x: Vector, gradient: Vector) -> Vector:
        """A gradient (d,) in the variables at x (d,) as one in unit coordinates."""
        return gradient * self._width * self.box.slopes(x)
