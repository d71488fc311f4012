"""What every noise schedule can do: levels, betas, a stock scheduler's config, and a fit to one.

Time t runs from 0 (all but clean) to 1 (the noisiest). abar is `alphas_cumprod`, the share of the
signal's variance; log-SNR = log(abar / (1 - abar)). Step i of T (from 0) is at t = (i + 1) / T.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from raybilevel.errors import InputError
from raybilevel.schedules.scheduler_config import float32_betas, stock_levels
from raybilevel.upper.variables import Box, Variable, Vector

if TYPE_CHECKING:
    from torch import Tensor

LOGSNR_FLOOR = -20.0
"""Log-SNR that stands for zero SNR, so that a network can be conditioned on it (abar 2.1e-9)."""

_GRID = (0.1, 0.5, 0.9)
_STARTS = 3


def logsnr_of(alphas_cumprod: Tensor) -> Tensor:
    """Log-SNR (n,) of abar (n,) in [0, 1), in float64 and never below `LOGSNR_FLOOR`."""
    import torch

    floor = torch.sigmoid(torch.tensor(LOGSNR_FLOOR, dtype=torch.float64)).item()
    return torch.logit(alphas_cumprod.double().clamp(min=floor))


@dataclass(frozen=True)
class Schedule(ABC):
    """A noise schedule with tunable parameters x (d,).

    Attributes
    ----------
    variables
        The d parameters: names, bounds and scales.
    zero_terminal_snr
        Whether abar falls to exactly 0 at t = 1: sqrt(abar) is shifted and scaled as in Lin et al.
        2024, arXiv 2305.08891, Algorithm 1. There the first of T steps keeps its level; here t = 0
        does, so that the levels do not depend on T.
    """

    variables: tuple[Variable, ...]
    zero_terminal_snr: bool

    @abstractmethod
    def _logsnr(self, x: Tensor, t: Tensor) -> Tensor:
        """Log-SNR (n,) at float64 x (d,), t (n,), before the rescaling to zero terminal SNR."""

    @abstractmethod
    def _reach(self) -> tuple[float, float]:
        """Give the least and the greatest log-SNR that some admissible x attains."""

    @property
    def init(self) -> Vector:
        """Parameters (d,) where the search begins."""
        return np.array([v.init for v in self.variables])

    def logsnr(self, x: Tensor, t: Tensor) -> Tensor:
        """Log-SNR (n,), float64, at parameters x (d,) and times t (n,) in [0, 1].

        Differentiable in x, in reverse and in forward mode. With zero terminal SNR it is held at
        `LOGSNR_FLOOR` where it would be lower.
        """
        if self.zero_terminal_snr:
            return logsnr_of(self.alphas_cumprod(x, t))
        return self._logsnr(x.double(), t.double())

    def alphas_cumprod(self, x: Tensor, t: Tensor) -> Tensor:
        """Abar (n,), float64, at x (d,) and t (n,): in (0, 1) and strictly falling in t.

        With zero terminal SNR it is 0 at t = 1. Differentiable in x, in both modes.
        """
        import torch

        x, t = x.double(), t.double()
        if not self.zero_terminal_snr:
            return torch.sigmoid(self._logsnr(x, t))
        root = torch.sigmoid(self._logsnr(x, torch.cat([t, t.new_tensor([0.0, 1.0])]))).sqrt()
        root, first, last = root[:-2], root[-2:-1], root[-1:]
        rescaled = ((root - last) * first / (first - last)).square()
        return torch.where(t < 1, rescaled, torch.zeros_like(t))

    def project(self, x: Vector) -> Vector:
        """Nearest admissible parameters (d,) to x (d,), in the Euclidean distance."""
        return np.clip(x, [v.low for v in self.variables], [v.high for v in self.variables])

    def betas(self, x: Vector, T: int) -> Vector:  # noqa: N803
        """Betas (T,), float64, in (0, 1), with cumprod(1 - betas)[i] = abar((i + 1) / T).

        With zero terminal SNR the last one is 1.

        Raises
        ------
        InputError
            If T is less than 1.
        """
        import torch

        if T < 1:
            raise InputError(f"a schedule has {T} steps; it must have at least 1")
        t = torch.arange(1, T + 1, dtype=torch.float64) / T
        after = self.alphas_cumprod(torch.from_numpy(np.asarray(x, float)), t).numpy()
        before = np.concatenate([[1.0], after[:-1]])
        return (before - after) / before

    def scheduler_config(self, x: Vector, T: int) -> dict[str, Any]:  # noqa: N803
        """What a stock diffusers scheduler's config has to say to walk this schedule in T steps.

        Merge it over any config: `DDIMScheduler.from_config({**config, **these})`. The betas are
        rounded so that the scheduler's `alphas_cumprod` are abar to float32; T of them rounded one
        by one would be off by up to 1e-5. With zero terminal SNR the stock rescaling is asked for
        too: it leaves such betas alone, but for rounding of up to 1e-5, and makes the DPM-Solver
        family avoid the logarithm of zero.
        """
        return {
            "num_train_timesteps": T,
            "trained_betas": float32_betas(self.betas(x, T)).tolist(),
            "rescale_betas_zero_snr": self.zero_terminal_snr,
        }

    def fit(self, logsnr: Vector, t: Vector) -> Vector:
        """Parameters (d,) whose log-SNR at t (n,) is nearest in least squares to `logsnr` (n,).

        The search is within the bounds, in scaled coordinates, from the best of a coarse grid.
        Log-SNRs that no admissible parameters attain, infinite ones included, count as the nearest
        attainable.
        """
        import torch
        from scipy.optimize import least_squares

        box, times, target = Box(self.variables), torch.from_numpy(t), self._attainable(logsnr)

        def residual(z: Vector) -> Vector:
            return self.logsnr(torch.from_numpy(box.from_scaled(z)), times).numpy() - target

        starts = [
            box.low + np.array(p) * (box.high - box.low)
            for p in product(_GRID, repeat=len(box.low))
        ]
        best = sorted(starts, key=lambda z: float(np.square(residual(z)).sum()))[:_STARTS]
        ends = [
            least_squares(
                residual,
                z,
                bounds=(box.low, box.high),
                method="dogbox",
                max_nfev=200,
                xtol=1e-10,
                ftol=1e-10,
            )
            for z in best
        ]
        return self.project(box.from_scaled(min(ends, key=lambda end: end.cost).x))

    def from_config(self, config: Mapping[str, Any]) -> Vector:
        """Parameters (d,) fitted to the levels of a diffusers scheduler's config.

        Raises
        ------
        InputError
            If the config describes no schedule by betas.
        """
        return self.fit(*stock_levels(config))

    def check_prediction(self, prediction_type: str) -> None:
        """Raise an InputError if no network of this kind can start at zero terminal SNR."""
        if self.zero_terminal_snr and prediction_type == "epsilon":
            raise InputError(
                "zero_terminal_snr needs prediction_type 'v_prediction' or 'sample'; 'epsilon' "
                "says nothing about the sample where there is only noise"
            )

    def _attainable(self, logsnr: Vector) -> Vector:
        low, high = self._reach()
        return np.clip(logsnr, LOGSNR_FLOOR if self.zero_terminal_snr else low, high)
