"""The levels of a stock diffusers scheduler, from its config alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from raybilevel.errors import InputError

ALPHA_KEYS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)
"""All that a scheduler's `alphas_cumprod` depends on."""


def stock_levels(config: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Log-SNR (T,) and times (T,) of the T training steps of a scheduler with this config.

    The stock scheduler's own alphas, multiplied up in float64. Zero SNR is minus infinity.

    Raises
    ------
    InputError
        If the config describes no schedule by betas, or abar leaves [0, 1].
    """
    alphas_cumprod = np.cumprod(_stock_alphas(config))
    if not np.all((alphas_cumprod >= 0) & (alphas_cumprod <= 1)):
        raise InputError("the scheduler's trained_betas must lie in [0, 1]")
    with np.errstate(divide="ignore"):
        logsnr = np.log(alphas_cumprod) - np.log1p(-alphas_cumprod)
    return logsnr, np.arange(1, len(logsnr) + 1) / len(logsnr)


def _stock_alphas(config: Mapping[str, Any]) -> np.ndarray:
    from diffusers import DDPMScheduler

    if config.get("use_flow_sigmas") or not {"beta_schedule", "trained_betas"} & set(config):
        name = config.get("_class_name", "the scheduler")
        raise InputError(
            f"{name} has no betas to read a noise schedule from; its config must have "
            "beta_schedule or trained_betas, and no use_flow_sigmas"
        )
    try:
        scheduler = DDPMScheduler(**{key: config[key] for key in ALPHA_KEYS if key in config})
    except NotImplementedError:
        raise InputError(
            f"beta_schedule '{config['beta_schedule']}' is not one that diffusers' DDPMScheduler "
            "knows; 'linear', 'scaled_linear', 'squaredcos_cap_v2' and 'sigmoid' are"
        ) from None
    return scheduler.alphas.double().numpy()


def float32_betas(betas: np.ndarray) -> np.ndarray:
    """Betas (T,) whose float32 alphas multiply up to what `betas` (T,) do: to 1e-7.

    Each makes up for the rounding of those before it. Where the right one is too small for
    float32 alphas, it is 1e-20.
    """
    rounded, got = [], 1.0
    for wanted in np.cumprod(1 - betas).tolist():
        rounded.append(float(np.float32(1) - np.float32(wanted / got)))  # so its alpha is exact
        got *= 1 - rounded[-1]
    return np.maximum(rounded, 1e-20)
