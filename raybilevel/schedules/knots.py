"""Monotone log-SNR at knots, one for each step that will be sampled with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit

from raybilevel.errors import InputError
from raybilevel.schedules.base import Schedule
from raybilevel.schedules.cosine_sigmoid import cosine
from raybilevel.upper.variables import Variable, Vector

if TYPE_CHECKING:
    from torch import Tensor

_WIDEST = 15.0
_LEAST_GAP = 1e-3


@dataclass(frozen=True)
class _Knots(Schedule):
    """x (k,) are the levels in sampling order: x[j] at t = (k - j) / k, rising by `gap` or more.

    Between them the angle arctan(sigma / alpha) is a straight line, as from end to end for the
    cosine schedule cos(t pi / 2)^2: knots on that schedule are that schedule.
    """

    gap: float

    def _logsnr(self, x: Tensor, t: Tensor) -> Tensor:
        import torch

        nodes = torch.cat([x.new_full((1,), self._top()), x.flip(0)])  # at t = 0, 1/k, ..., 1
        place = t * len(x)
        left = place.detach().floor().long().clamp(0, len(x) - 1)
        share = place - left
        angles = torch.atan(torch.exp(-nodes / 2))
        return -2 * torch.log(torch.tan(angles[left] * (1 - share) + angles[left + 1] * share))

    def _top(self) -> float:
        """Log-SNR at t = 0, above all that the cleanest level can be."""
        return max(v.high for v in self.variables) + self.gap

    def _reach(self) -> tuple[float, float]:
        return min(v.low for v in self.variables), self._top()

    def project(self, x: Vector) -> Vector:
        """Nearest levels (k,) to x (k,) in their bounds that rise by `gap` or more.

        x_j - j gap has to be isotonic: pooled adjacent violators, where a block takes its mean,
        clipped to the bounds that its members share (Best, Chakravarti & Ubhaya 2000, SIAM J.
        Optim. 10, 658-672). With the same bounds for all levels it is the plain isotonic
        regression, clipped.
        """
        shift = self.gap * np.arange(len(x))
        low, high = _tight(self.variables, shift)
        levels = _isotonic(np.asarray(x, float) - shift, low, high) + shift
        return super().project(levels)  # adding and subtracting the shift can round out of the box

    def fit(self, logsnr: Vector, t: Vector) -> Vector:
        """Levels (k,) of the curve through `logsnr` (n,) at rising t (n,): exact at the knots.

        Where the levels do not rise by `gap`, the nearest that do. With zero terminal SNR the first
        level is free, as any can lead to the same others: it is set to its `low`, which leaves
        them the most room.
        """
        k = len(self.variables)
        angles = np.arctan(np.exp(-self._attainable(logsnr) / 2))
        levels = -2 * np.log(np.tan(np.interp(np.arange(k, 0, -1) / k, t, angles)))
        if self.zero_terminal_snr:
            lowest = self.variables[0].low
            first, last = np.sqrt(expit([self._top(), lowest]))
            root = last + np.sqrt(expit(levels)) * (first - last) / first
            levels = np.concatenate([[lowest], logit(np.square(root[1:]))])
        return self.project(levels)


def knots(
    k: int,
    low: float | Sequence[float] = -10.0,
    high: float | Sequence[float] = 10.0,
    *,
    gap: float = 0.05,
    init: Sequence[float] | None = None,
    zero_terminal_snr: bool = False,
) -> Schedule:
    """Log-SNR levels at t = 1, (k - 1)/k, ..., 1/k; between them arctan(sigma / alpha) is linear.

    k sampling steps with trailing spacing visit just these levels, and then the clean sample.
    The variables are `logsnr_0` (t = 1, the noisiest) to `logsnr_{k-1}`; below t = 1/k the curve
    goes on to the greatest `high` plus `gap` at t = 0.

    Parameters
    ----------
    k
        Number of levels, at least 1.
    low, high
        Bounds within [-15, 15], for all levels or k of them in sampling order.
    gap
        Least rise from a level to the next, at least 1e-3.
    init
        k levels to begin with; the nearest admissible ones. None for `cosine()`'s.
    zero_terminal_snr
        See `Schedule`.

    Raises
    ------
    InputError
        If the numbers are out of range or too few, or no levels within the bounds rise by `gap`.
    """
    if k < 1:
        raise InputError(f"knots has k {k}; it must be at least 1")
    if not gap >= _LEAST_GAP:
        raise InputError(f"knots has gap {gap:g}; it must be at least {_LEAST_GAP:g}")
    lows, highs = _each("low", low, k), _each("high", high, k)
    begin = _cosine_levels(k) if init is None else _each("init", init, k)
    boxes = [
        Variable(f"logsnr_{j}", lo, lo, hi)
        for j, (lo, hi) in enumerate(zip(lows, highs, strict=True))
    ]
    _check(boxes, gap)
    begin = _Knots(tuple(boxes), zero_terminal_snr, gap).project(begin)
    variables = (Variable(v.name, b, v.low, v.high) for v, b in zip(boxes, begin, strict=True))
    return _Knots(tuple(variables), zero_terminal_snr, gap)


def _each(name: str, value: float | Sequence[float], k: int) -> Vector:
    values = np.asarray(value, float)
    if values.shape not in {(), (k,)} or not np.all(np.abs(values) <= _WIDEST):
        raise InputError(
            f"knots has {name} {value}; it must be one number or {k} numbers, "
            f"within [-{_WIDEST:g}, {_WIDEST:g}]"
        )
    return np.broadcast_to(values, (k,))


def _cosine_levels(k: int) -> Vector:
    import torch

    schedule = cosine()
    t = torch.arange(k, 0, -1, dtype=torch.float64) / k
    return schedule.logsnr(torch.from_numpy(schedule.init), t).numpy()


def _check(variables: Sequence[Variable], gap: float) -> None:
    shift = gap * np.arange(len(variables))
    highs = np.array([v.high for v in variables]) - shift
    for j in np.flatnonzero(_tight(variables, shift)[0] > highs):
        raise InputError(
            f"the bounds of the knots cross at {variables[int(j)].name}: no levels within them "
            f"rise by {gap:g}; raise its high, lower the lows before it, or use a smaller gap"
        )


def _tight(variables: Sequence[Variable], shift: Vector) -> tuple[Vector, Vector]:
    """Bounds (k,), (k,) that isotonic levels, less their shift, cannot but keep: isotonic too."""
    low = np.array([v.low for v in variables]) - shift
    high = np.array([v.high for v in variables]) - shift
    return np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]


def _isotonic(y: Vector, low: Vector, high: Vector) -> Vector:
    """Nearest isotonic vector (k,) to y (k,) within isotonic bounds (k,), (k,)."""
    blocks: list[tuple[float, int, int]] = []  # value, first, one past the last
    for j in range(len(y)):
        first, value = j, float(np.clip(y[j], low[j], high[j]))
        while blocks and blocks[-1][0] > value:
            first = blocks.pop()[1]
            value = float(np.clip(y[first : j + 1].mean(), low[j], high[first]))
        blocks.append((value, first, j + 1))
    return np.concatenate([np.full(end - first, value) for value, first, end in blocks])
