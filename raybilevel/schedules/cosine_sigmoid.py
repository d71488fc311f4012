"""The cosine and the sigmoid schedule.

Chen 2023, "On the Importance of Noise Scheduling for Diffusion Models", arXiv 2301.10972,
Algorithm 1; tuned by Xiao et al. 2025, arXiv 2502.08808. With a ramp v(t),

    gamma(t) = (v(1) - v(t)) / (v(1) - v(0)),  abar(t) = eps + (1 - 2 eps) gamma(t).

Chen clips gamma to [1e-9, 1], which leaves levels flat; the affine squash lets abar fall from
1 - eps at t = 0 to eps at t = 1. So that rounding leaves it falling where the ramp is flat (the
cosine's last steps at large tau), gamma holds 1e-8 of the straight line 1 - t.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raybilevel.errors import InputError
from raybilevel.schedules.base import Schedule
from raybilevel.upper.variables import Variable

if TYPE_CHECKING:
    from torch import Tensor

Argument = Variable | float
"""A number of the schedule: tuned, or fixed."""

_EPS = 1e-4
_LINE = 1e-8
_GAP = 0.01
_STEEPEST = 20.0


@dataclass(frozen=True)
class _Chen(Schedule):
    arguments: tuple[Argument, ...]
    ramp: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

    def _logsnr(self, x: Tensor, t: Tensor) -> Tensor:
        start, end, tau, eps = self._values(x)
        v, first, last = (self.ramp(start, end, tau, s) for s in (t, t.new_zeros(1), t.new_ones(1)))
        gamma = (1 - _LINE) * (v - last) / (first - last) + _LINE * (1 - t)
        rest = (1 - _LINE) * (first - v) / (first - last) + _LINE * t
        return (eps + (1 - 2 * eps) * gamma).log() - (eps + (1 - 2 * eps) * rest).log()

    def _values(self, x: Tensor) -> list[Tensor]:
        """All arguments, fixed ones too, each (1,): 0-d dual tensors lose their dtype."""
        tuned = iter(x.split(1))
        return [
            next(tuned) if isinstance(a, Variable) else x.new_full((1,), a) for a in self.arguments
        ]

    def _reach(self) -> tuple[float, float]:
        eps = _range(self.arguments[3])[0]
        return math.log(eps / (1 - eps)), math.log((1 - eps) / eps)


def cosine(
    start: Argument = Variable("start", 0.2, 0.0, 0.5),  # noqa: B008 - frozen
    end: Argument = Variable("end", 1.0, 0.6, 1.0),  # noqa: B008
    tau: Argument = Variable("tau", 1.0, 0.5, 4.0, "log"),  # noqa: B008
    eps: Argument = _EPS,
    *,
    zero_terminal_snr: bool = False,
) -> Schedule:
    """Chen's cosine schedule: v(t) = cos((t (end - start) + start) pi / 2)^(2 tau).

    Parameters
    ----------
    start, end
        Within [0, 1], start at least 0.01 below end.
    tau
        Within [0.5, 10]: below, the slope in `end` is infinite at 1.
    eps
        Within [1e-6, 0.1): abar at t = 1.
    zero_terminal_snr
        See `Schedule`.

    Raises
    ------
    InputError
        If an argument can leave its range, or start can come within 0.01 of end.
    """
    _check_range("cosine", "start", start, 0.0, 1.0)
    _check_range("cosine", "end", end, 0.0, 1.0)
    _check_range("cosine", "tau", tau, 0.5, 10.0)
    _check_range("cosine", "eps", eps, 1e-6, math.nextafter(0.1, 0))
    _check_order("cosine", start, end)
    return _chen((start, end, tau, eps), _cosine, zero_terminal_snr)


def sigmoid(
    start: Argument = Variable("start", -3.0, -10.0, 0.0),  # noqa: B008
    end: Argument = Variable("end", 3.0, 1.0, 10.0),  # noqa: B008
    tau: Argument = 1.0,
    *,
    zero_terminal_snr: bool = False,
) -> Schedule:
    """Chen's sigmoid schedule: v(t) = 1 / (1 + exp(-(t (end - start) + start) / tau)).

    eps is 1e-4. The schedule depends on start / tau and end / tau alone, so one of the three has
    to be fixed; Chen's (0, 3, 0.3) is (0, 10, 1).

    Parameters
    ----------
    start, end
        Within [-20, 20] times the least tau, start at least 0.01 below end.
    tau
        Within [0.01, 100].
    zero_terminal_snr
        See `Schedule`.

    Raises
    ------
    InputError
        If an argument can leave its range, start can come within 0.01 of end, or no number that is
        fixed gives the others their scale.
    """
    _check_range("sigmoid", "tau", tau, 0.01, 100.0)
    steepest = _STEEPEST * _range(tau)[0]
    _check_range("sigmoid", "start", start, -steepest, steepest)
    _check_range("sigmoid", "end", end, -steepest, steepest)
    _check_order("sigmoid", start, end)
    if all(isinstance(a, Variable) or a == 0 for a in (start, end, tau)):
        raise InputError(
            "sigmoid depends on start / tau and end / tau alone, so tau cannot be tuned with both; "
            "fix tau, for example at 1"
        )
    return _chen((start, end, tau, _EPS), _sigmoid, zero_terminal_snr)


def _chen(
    arguments: tuple[Argument, ...],
    ramp: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    zero_terminal_snr: bool,
) -> Schedule:
    variables = tuple(a for a in arguments if isinstance(a, Variable))
    names = [v.name for v in variables]
    if not names or len(set(names)) < len(names):
        raise InputError(f"the schedule's variables are {names}; name at least one, none twice")
    return _Chen(variables, zero_terminal_snr, arguments, ramp)


def _cosine(start: Tensor, end: Tensor, tau: Tensor, t: Tensor) -> Tensor:
    # The sine of the complement: exactly 0 at end = 1, where the cosine can round below it.
    return (((1 - start) * (1 - t) + (1 - end) * t) * (math.pi / 2)).sin() ** (2 * tau)


def _sigmoid(start: Tensor, end: Tensor, tau: Tensor, t: Tensor) -> Tensor:
    return ((start * (1 - t) + end * t) / tau).sigmoid()


def _range(argument: Argument) -> tuple[float, float]:
    if isinstance(argument, Variable):
        return argument.low, argument.high
    return float(argument), float(argument)


def _check_range(kind: str, name: str, argument: Argument, low: float, high: float) -> None:
    least, most = _range(argument)
    if not low <= least <= most <= high:
        raise InputError(
            f"{kind} has {name} in [{least:g}, {most:g}], but it must stay in [{low:g}, {high:g}]"
        )


def _check_order(kind: str, start: Argument, end: Argument) -> None:
    latest, earliest = _range(start)[1], _range(end)[0]
    if latest > earliest - _GAP:
        raise InputError(
            f"{kind} has start up to {latest:g} and end down to {earliest:g}; start must stay at "
            f"least {_GAP:g} below end"
        )
