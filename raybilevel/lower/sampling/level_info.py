"""What noise levels a pipeline's network was trained on, and whether it can be asked between."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_lists.lists import distinct
from raybilevel.lower.sampling.pipeline_info import check_pipeline
from raybilevel.schedules import LOGSNR_FLOOR
from raybilevel.schedules.scheduler_config import stock_levels

Conditioning = Literal["noise_level", "step"]

_PREDICTIONS = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True, eq=False)
class LevelInfo:
    """A pipeline's network by its noise levels.

    Attributes
    ----------
    image_shape : (C, H, W).
    logsnr : (T,) float64, falling: the level of each training step; zero SNR is `LOGSNR_FLOOR`.
    prediction_type : "epsilon", "sample" or "v_prediction".
    clip : range that DDIM clips the predicted clean image to; None where it does not.
    scheduler, unet : the configs.
    conditioning : "noise_level", or "step" where it was trained by the index of the step.
    """

    image_shape: tuple[int, int, int]
    logsnr: np.ndarray
    prediction_type: str
    clip: float | None
    scheduler: dict[str, Any]
    unet: dict[str, Any]
    conditioning: Conditioning = "noise_level"

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest log-SNR that the network knows."""
        return float(self.logsnr[-1]), float(self.logsnr[0])


def read_levels(
    directory: Path | str, where: str = "model", variant: str | None = None
) -> LevelInfo:
    """Read a pipeline directory's noise levels from its JSON files.

    Its arguments are those of `check_pipeline`.

    Raises
    ------
    InputError
        What `check_pipeline` raises; and if the network cannot be asked between its training steps
        (learned or Fourier time embedding), predicts something else than noise, sample or v, or the
        scheduler thresholds.
    """
    info = check_pipeline(directory, where=where, variant=variant)
    named, unet, scheduler = info.files.named, info.files.unet, info.files.scheduler
    _check_network(unet, named)
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in _PREDICTIONS or scheduler.get("thresholding"):
        what = "thresholding" if prediction in _PREDICTIONS else f"prediction_type '{prediction}'"
        raise InputError(
            f"{named} has a scheduler with {what}; only {', '.join(_PREDICTIONS)} prediction "
            "without thresholding is supported"
        )
    logsnr = np.maximum(stock_levels(scheduler)[0], LOGSNR_FLOOR)
    if len(logsnr) < 2 or np.isinf(logsnr[0]) or not np.all(np.diff(logsnr) < 0):
        raise InputError(f"{named} has a scheduler whose alphas_cumprod do not fall at every step")
    clip = scheduler.get("clip_sample_range", 1.0) if scheduler.get("clip_sample", True) else None
    return LevelInfo(info.image_shape, logsnr, prediction, clip, scheduler, unet)


def _check_network(unet: dict[str, Any], named: str) -> None:
    kind = unet.get("time_embedding_type", "positional")
    if kind != "positional":
        raise InputError(
            f"{named} has a {kind} time embedding, which cannot be asked at the real-valued steps "
            "between the trained ones; only networks with time_embedding_type 'positional' can"
        )
    if unet["out_channels"] != unet["in_channels"]:
        raise InputError(
            f"{named} predicts {unet['out_channels']} channels for {unet['in_channels']}, so "
            "it learned a variance; only networks with as many out_channels as in_channels are "
            "supported"
        )


def nearest_timesteps(info: LevelInfo, levels: np.ndarray) -> list[int]:
    """The training steps (k,) nearest to rising log-SNR levels (k,), all different, falling.

    For stock schedulers that take a list of timesteps, on the pipeline as it was.
    """
    last = len(info.logsnr) - 1
    steps = np.rint(np.interp(levels, info.logsnr[::-1], np.arange(last, -1, -1))).astype(int)
    return [int(t) for t in distinct(steps, last + 1)]
