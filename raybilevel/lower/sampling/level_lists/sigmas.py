"""Noise levels by the two names that diffusers has for them, and by their log-SNR.

Gaussian schedulers: x = x0 + sigma eps, up to a factor; log-SNR = -2 log sigma, sigma above 0.
Flow matching: x = (1 - sigma) x0 + sigma eps; log-SNR = 2 log((1 - sigma) / sigma), up to 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logit

_FLOW_ENDS = 0.002, 0.999


def is_flow(scheduler: Any) -> bool:
    """Whether a scheduler of diffusers' has the sigmas of flow matching."""
    named = type(scheduler).__name__.startswith("FlowMatch")
    return named or bool(scheduler.config.get("use_flow_sigmas"))


def to_logsnr(sigmas: np.ndarray, *, flow: bool) -> np.ndarray:
    """Log-SNR (k,) of sigmas (k,)."""
    sigmas = np.asarray(sigmas, float)
    with np.errstate(divide="ignore"):
        return 2 * logit(1 - sigmas) if flow else -2 * np.log(sigmas)


def to_sigmas(logsnr: np.ndarray, *, flow: bool) -> np.ndarray:
    """Sigmas (k,) of log-SNR (k,)."""
    half = np.asarray(logsnr, float) / 2
    return expit(-half) if flow else np.exp(-half)


def training_sigmas(scheduler: Any) -> np.ndarray:
    """The sigmas (T,) of a Gaussian scheduler's training steps, rising with the timestep."""
    abar = scheduler.alphas_cumprod.double().cpu().numpy()
    return np.sqrt((1 - abar) / abar)


def timesteps_between(sigmas: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Real-valued timesteps (k,) of sigmas (k,) among those of training (T,), by log sigma."""
    return np.interp(np.log(sigmas), np.log(known), np.arange(len(known)))


def sigma_range(scheduler: Any) -> tuple[float, float]:
    """Least and greatest sigma that levels are tuned between.

    Those that the network was trained at; of flow matching nearly all of them, as the first of a
    call is 1 in any case.
    """
    if is_flow(scheduler):
        return _FLOW_ENDS
    known = training_sigmas(scheduler)
    return float(known[0]), float(known[-1])
