"""A network, asked at any noise level within what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from raybilevel.lower.sampling.level_info import LevelInfo, read_levels
from raybilevel.lower.sampling.pipeline_loading import load_pipeline
from raybilevel.lower.sampling.pixel import prepare
from raybilevel.lower.sampling.solvers import load_solver
from raybilevel.schedules import LOGSNR_FLOOR
from raybilevel.schedules.scheduler_config import stock_levels


class LevelSampler:
    """Draws images with any list of noise levels from an unconditional pixel-space network.

    Parameters
    ----------
    info : what the network was trained on.
    unet : the network, which is moved to its device.
    solver
        "dpm++", "ddim", or one that another package registers. DDIM clips the predicted clean
        image where `info` says so; DPM-Solver++ never does, as in diffusers.
    device, mixed_precision
        As `PixelSampler` takes them.

    Attributes
    ----------
    info, unet, device : the network and where it is.
    """

    def __init__(
        self,
        info: LevelInfo,
        unet: torch.nn.Module,
        solver: str = "dpm++",
        device: str = "cpu",
        mixed_precision: str = "no",
    ) -> None:
        self.info = info
        self.unet, self.device = prepare(unet, device, mixed_precision)
        found = load_solver(solver)
        self._solve = found.walk
        self._clip = info.clip if found.clips else None

    @classmethod
    def open(cls, directory: Path | str, *args: Any, **options: Any) -> Self:
        """The same, of a pipeline directory that `read_levels` accepts."""
        return cls(read_levels(directory), load_pipeline(directory).unet, *args, **options)

    def noise(self, seed: int, count: int) -> Tensor:
        """Noise (count, C, H, W) as a stock pipeline draws it from a CPU generator of that seed."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn((count, *self.info.image_shape), generator=generator).to(self.device)

    def sample(self, noise: Tensor, levels: Sequence[float]) -> Tensor:
        """Images (N, C, H, W) float32 in [0, 1], on the device; one evaluation each a level.

        Parameters
        ----------
        noise : (N, C, H, W) of unit variance.
        levels : (k,) log-SNR, rising; outside the trained range the network is asked at its end.
        """
        with torch.inference_mode():
            return self.solve(noise, levels).float()

    def solve(self, noise: Tensor, levels: Sequence[float], grad_steps: int = 0) -> Tensor:
        """As `sample`, in the network's type; differentiable through the last `grad_steps` steps.

        The levels are no variables here: what is differentiated is the network.
        """
        logsnr = torch.as_tensor(levels, dtype=torch.float64, device=self.device)
        steps = asked_steps(self.info, logsnr)
        place = iter(range(len(steps)))

        def predict(x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
            i = next(place)
            learns = torch.is_grad_enabled() and i >= len(steps) - grad_steps
            with torch.set_grad_enabled(learns):
                return self._split(x, level, steps[i : i + 1])

        return (self._solve(predict, noise, logsnr) / 2 + 0.5).clamp(0, 1)

    def predict(self, x: Tensor, logsnr: Tensor) -> tuple[Tensor, Tensor]:
        """Clean image and noise, each (N, C, H, W), that the network sees in x at log-SNR (1,)."""
        return self._split(x, logsnr, asked_step(self.info, logsnr))

    def _split(self, x: Tensor, logsnr: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        output = self.unet(x, step, return_dict=False)[0]
        alpha, sigma = logsnr.sigmoid().sqrt().to(x), (-logsnr).sigmoid().sqrt().to(x)
        x0, eps = _SPLIT[self.info.prediction_type](x, output, alpha, sigma)
        return (x0 if self._clip is None else x0.clamp(-self._clip, self._clip)), eps

    def as_stock(self, x: Tensor, t: Tensor, return_dict: bool = False) -> tuple[Tensor, ...]:
        """The network as a stock scheduler calls it: at the integer step t of `info.scheduler`."""
        return self.unet(x, self._stock_steps[t], return_dict=return_dict)

    @cached_property
    def _stock_steps(self) -> Tensor:
        """The step (T,) that the network is asked at for each of the stock scheduler's."""
        rising = np.maximum(stock_levels(self.info.scheduler)[0], LOGSNR_FLOOR)[::-1].copy()
        return asked_steps(self.info, torch.as_tensor(rising, device=self.device)).flip(0)


def asked_steps(info: LevelInfo, logsnr: Tensor) -> Tensor:
    """Real-valued steps (k,) float32 at which a network is asked for k levels, rising.

    By the levels themselves, or, where the network was trained by the step's index, by their place.
    """
    if info.conditioning == "noise_level":
        return asked_step(info, logsnr)
    k, last = len(logsnr), len(info.logsnr)
    return (last * torch.arange(k, 0, -1, device=logsnr.device) / k - 1).float()


def asked_step(info: LevelInfo, logsnr: Tensor) -> Tensor:
    """Real-valued training steps (n,) float32 at log-SNR (n,), clamped to the trained range.

    Straight lines between the trained steps; differentiable in log-SNR.
    """
    table = torch.as_tensor(info.logsnr[::-1].copy(), device=logsnr.device)  # rising
    last = len(table) - 1
    logsnr = logsnr.clamp(table[0], table[-1])
    right = torch.searchsorted(table, logsnr.detach()).clamp(1, last)
    share = (logsnr - table[right - 1]) / (table[right] - table[right - 1])
    return (last + 1 - right - share).float()


def _from_eps(x: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    return (x - sigma * eps) / alpha, eps


def _from_sample(x: Tensor, x0: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    return x0, (x - alpha * x0) / sigma


def _from_v(x: Tensor, v: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    return alpha * x - sigma * v, alpha * v + sigma * x


_SPLIT = {"epsilon": _from_eps, "sample": _from_sample, "v_prediction": _from_v}
