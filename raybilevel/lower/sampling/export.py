"""A learned sampling schedule as a stock pipeline, which nobody needs raybilevel to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from raybilevel.lower.sampling.level_info import LevelInfo
from raybilevel.lower.sampling.level_sampler import asked_steps
from raybilevel.lower.sampling.solvers import Solver, load_solver
from raybilevel.schedules.scheduler_config import float32_betas, stock_levels


def bake(unet: Any, target: Path, solver: str, info: LevelInfo, config: dict[str, Any]) -> None:
    """Write a stock pipeline that samples as the learned schedule says.

    The betas go into the scheduler. The network keeps its weights, but for its time embedding:
    a table whose row t is what the network's own embedding gives at the real-valued step that it
    is asked at for the level that the *reloaded* scheduler has at t.

    Parameters
    ----------
    unet : the network, of positional time embedding.
    target : the pipeline directory that is written.
    solver : a registered one: "dpm++" is a `DDPMPipeline` with `DPMSolverMultistepScheduler`,
        "ddim" a `DDIMPipeline`; both visit the levels with `num_inference_steps=N` alone.
    config : `Schedule.scheduler_config` with as many steps as are to be exported.
    """
    from diffusers import DDIMPipeline, DDPMPipeline

    found = load_solver(solver)
    scheduler = _scheduler(found, info, config)
    baked = _with_table(unet, info, dict(scheduler.config))
    # a DDIMPipeline makes any scheduler DDIM
    pipeline = DDIMPipeline if found.scheduler == "DDIMScheduler" else DDPMPipeline
    pipeline(baked, scheduler).save_pretrained(str(target), safe_serialization=True)


def _scheduler(solver: Solver, info: LevelInfo, config: dict[str, Any]) -> Any:
    import diffusers

    clip: dict[str, Any] = {
        "clip_sample": info.clip is not None,
        "clip_sample_range": 1.0 if info.clip is None else info.clip,
    }
    return getattr(diffusers, solver.scheduler)(
        **config,
        **solver.options,
        **(clip if solver.clips else {}),
        prediction_type=info.prediction_type,
        timestep_spacing="trailing",
        steps_offset=0,
    )


def _with_table(unet: Any, info: LevelInfo, scheduler: dict[str, Any]) -> Any:
    """The network with a learned time embedding of as many rows as the scheduler has steps."""
    from diffusers import UNet2DModel

    rising = stock_levels(scheduler)[0][::-1].copy()
    steps = asked_steps(info, torch.as_tensor(rising)).flip(0)
    with torch.no_grad():
        table = unet.time_proj(steps)
    changed = {"time_embedding_type": "learned", "num_train_timesteps": len(steps)}
    config = {**unet.config, **changed}
    config.pop("_use_default_values", None)  # else what is changed here counts as never given
    baked = UNet2DModel.from_config(config)
    baked.load_state_dict({**unet.state_dict(), "time_proj.weight": table})
    return baked.eval()


def save_network(unet: Any, target: Path, info: LevelInfo) -> None:
    """Write a network that is conditioned on the noise level as a stock pipeline of its own scale.

    `read_levels` reads it back: the alphas of its scheduler are the levels of the steps that it is
    asked at, so that another sampling schedule can be tuned for it later.
    """
    from diffusers import DDIMPipeline, DDIMScheduler

    after = 1 / (1 + np.exp(-info.logsnr))
    before = np.concatenate([[1.0], after[:-1]])
    scheduler = DDIMScheduler(
        num_train_timesteps=len(after),
        trained_betas=float32_betas((before - after) / before).tolist(),
        prediction_type=info.prediction_type,
        clip_sample=info.clip is not None,
        clip_sample_range=1.0 if info.clip is None else info.clip,
        timestep_spacing="trailing",
    )
    DDIMPipeline(unet, scheduler).save_pretrained(str(target), safe_serialization=True)
