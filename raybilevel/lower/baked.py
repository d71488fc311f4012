"""A learned sampling schedule as a stock pipeline, which nobody needs raybilevel to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from raybilevel.lower.level_info import LevelInfo
from raybilevel.lower.levels import asked_step
from raybilevel.lower.sampling import load_pipeline
from raybilevel.lower.solvers import Sampler
from raybilevel.schedules.stock import stock_levels


def bake(
    source: Path, target: Path, sampler: Sampler, info: LevelInfo, config: dict[str, Any]
) -> None:
    """Write a stock pipeline that samples as the learned schedule says.

    The betas go into the scheduler. The network keeps its weights, but for its time embedding:
    a table whose row t is what the network's own embedding gives at the real-valued step whose
    level the *reloaded* scheduler has at t.

    Parameters
    ----------
    source, target : pipeline directories, read and written.
    sampler : "dpm++" is a `DDPMPipeline` with `DPMSolverMultistepScheduler`, "ddim" a
        `DDIMPipeline`; both visit the levels with `num_inference_steps=N` alone.
    config : `Schedule.scheduler_config` with as many steps as are to be exported.
    """
    from diffusers import DDIMPipeline, DDPMPipeline

    scheduler = _scheduler(sampler, info, config)
    unet = _with_table(load_pipeline(source).unet, info, dict(scheduler.config))
    pipeline = DDPMPipeline if sampler == "dpm++" else DDIMPipeline
    pipeline(unet, scheduler).save_pretrained(str(target), safe_serialization=True)


def _scheduler(sampler: Sampler, info: LevelInfo, config: dict[str, Any]) -> Any:
    from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

    common = {
        **config,
        "prediction_type": info.prediction_type,
        "timestep_spacing": "trailing",
        "steps_offset": 0,
    }
    if sampler == "dpm++":
        return DPMSolverMultistepScheduler(
            **common, solver_order=2, algorithm_type="dpmsolver++", final_sigmas_type="zero"
        )
    return DDIMScheduler(
        **common,
        clip_sample=info.clip is not None,
        clip_sample_range=1.0 if info.clip is None else info.clip,
        set_alpha_to_one=True,
    )


def _with_table(unet: Any, info: LevelInfo, scheduler: dict[str, Any]) -> Any:
    """The network with a learned time embedding of as many rows as the scheduler has steps."""
    from diffusers import UNet2DModel

    logsnr, _ = stock_levels(scheduler)
    steps = asked_step(info, torch.as_tensor(logsnr))
    with torch.no_grad():
        table = unet.time_proj(steps)
    changed = {"time_embedding_type": "learned", "num_train_timesteps": len(steps)}
    baked = UNet2DModel.from_config({**unet.config, **changed})
    baked.load_state_dict({**unet.state_dict(), "time_proj.weight": table})
    return baked.eval()
