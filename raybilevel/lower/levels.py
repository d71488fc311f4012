"""A pretrained pipeline's network, asked at any noise level within what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from raybilevel.lower.level_info import LevelInfo, read_levels
from raybilevel.lower.sampling import load_pipeline, prepare
from raybilevel.lower.solvers import SOLVERS, Sampler


class LevelSampler:
    """Draws images with any list of noise levels from an unconditional pixel-space pipeline.

    Parameters
    ----------
    directory
        A pipeline directory that `read_levels` accepts.
    sampler
        "dpm++" or "ddim". DDIM clips the predicted clean image where the pipeline's scheduler
        does; DPM-Solver++ never does, as in diffusers.
    device, mixed_precision
        As `PixelSampler` takes them.

    Attributes
    ----------
    info : what the network was trained on.
    unet, device : the network and where it is.
    """

    def __init__(
        self,
        directory: Path | str,
        sampler: Sampler = "dpm++",
        device: str = "cpu",
        mixed_precision: str = "no",
    ) -> None:
        self.info = read_levels(directory)
        self.unet, self.device = prepare(load_pipeline(directory).unet, device, mixed_precision)
        self._solve = SOLVERS[sampler]
        self._clip = self.info.clip if sampler == "ddim" else None

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
        logsnr = torch.as_tensor(levels, dtype=torch.float64, device=self.device)
        with torch.inference_mode():
            x = self._solve(self.predict, noise, logsnr)
            return (x / 2 + 0.5).clamp(0, 1).float()

    def predict(self, x: Tensor, logsnr: Tensor) -> tuple[Tensor, Tensor]:
        """Clean image and noise, each (N, C, H, W), that the network sees in x at log-SNR (1,)."""
        output = self.unet(x, asked_step(self.info, logsnr), return_dict=False)[0]
        alpha, sigma = logsnr.sigmoid().sqrt().to(x), (-logsnr).sigmoid().sqrt().to(x)
        x0, eps = _SPLIT[self.info.prediction_type](x, output, alpha, sigma)
        return (x0 if self._clip is None else x0.clamp(-self._clip, self._clip)), eps


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
