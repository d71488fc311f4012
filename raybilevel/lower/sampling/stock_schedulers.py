"""What diffusers offers for the same number of steps: its own schedulers, spacing by spacing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raybilevel.schedules.scheduler_config import ALPHA_KEYS

_SPACINGS = ("leading", "trailing", "linspace")
_CLIP = -5.1  # diffusers' own advice for the cosine schedule (`lambda_min_clipped`)
_MODEL = (
    *ALPHA_KEYS,
    "prediction_type",
    "clip_sample",
    "clip_sample_range",
    "set_alpha_to_one",
    "steps_offset",
)
"""What belongs to the model; the rest of a config says how the pipeline's own sampler steps."""


def stock_schedulers(config: Mapping[str, Any]) -> dict[str, Any]:
    """Stock schedulers by name, all on the noise schedule of a scheduler's config.

    DDIM and DPM-Solver++ (second-order multistep) with each spacing, DPM-Solver++ with Karras
    sigmas and with `use_lu_lambdas` (uniform log-SNR); and, where the schedule reaches below it,
    with the least log(alpha / sigma) clipped as diffusers advises.
    """
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    own = _of_the_model(config)
    dpm: dict[str, dict[str, Any]] = {f"dpm++ {s}": {"timestep_spacing": s} for s in _SPACINGS}
    dpm |= {"dpm++ karras": {"use_karras_sigmas": True}, "dpm++ lu": {"use_lu_lambdas": True}}
    if DPMSolverMultistepScheduler.from_config(own).lambda_t.min() < _CLIP:
        clipped = {"lambda_min_clipped": _CLIP}
        dpm |= {f"{name} clipped": {**dpm[name], **clipped} for name in list(dpm)[:3]}
    ddim = {f"ddim {s}": DDIMScheduler.from_config(own, timestep_spacing=s) for s in _SPACINGS}
    return ddim | {n: DPMSolverMultistepScheduler.from_config(own, **o) for n, o in dpm.items()}


def _of_the_model(config: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: config[key] for key in _MODEL if key in config}
    if own.get("beta_schedule") != "sigmoid":
        return own
    from diffusers import DDPMScheduler  # the only one that knows it: for the others, its betas

    betas = DDPMScheduler.from_config({**own, "rescale_betas_zero_snr": False}).betas
    return {**own, "beta_schedule": "linear", "trained_betas": betas.tolist()}


def stock_names(config: Mapping[str, Any], steps: int) -> list[str]:
    """Names of those that can take so many steps: of many steps, some repeat their levels."""
    schedulers = stock_schedulers(config)
    return [name for name, scheduler in schedulers.items() if _can_take(scheduler, steps)]


def _can_take(scheduler: Any, steps: int) -> bool:
    """Set the scheduler's timesteps; whether each of them is a step of its own."""
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps
    if timesteps.min() < 0 or timesteps.max() >= scheduler.config.num_train_timesteps:
        return False
    sigmas = getattr(scheduler, "sigmas", None)
    return sigmas is None or bool((sigmas.diff() < 0).all())


def stock_levels_visited(config: Mapping[str, Any], steps: int) -> dict[str, np.ndarray]:
    """Log-SNR levels (k,), rising, that each DPM-Solver++ of them visits: where a search can begin.

    k is `steps`, or less where a clipped spacing has fewer.
    """
    visited = {}
    for name, scheduler in stock_schedulers(config).items():
        if name.startswith("dpm++") and _can_take(scheduler, steps):
            visited[name] = -2 * np.log(scheduler.sigmas[:-1].double().numpy())
    return visited


def sample_stock(
    network: Callable[..., Any], scheduler: Any, noise: Tensor, steps: int
) -> tuple[Tensor, int]:
    """Images (N, C, H, W) in [0, 1] as a stock pipeline draws them, and their evaluations each."""
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "set_begin_index"):
        # Karras sigmas can round to one timestep twice; looked up by it, the first is skipped.
        scheduler.set_begin_index(0)
    x = noise
    with torch.inference_mode():
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t, return_dict=False)[0], t, x, return_dict=False)[0]
        return (x / 2 + 0.5).clamp(0, 1).float(), len(scheduler.timesteps)
