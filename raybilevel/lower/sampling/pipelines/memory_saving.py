"""Diffusers' switches that give time for memory: offloading and slicing."""

from __future__ import annotations

from typing import Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.pipelines.settings import PipelineSettings


def save_memory(pipeline: Any, settings: PipelineSettings, device: str, named: str) -> None:
    """Turn on what `offload` and `slicing` of `model_options` ask for.

    Parameters
    ----------
    device : that the pipeline computes on.
    named : what sentences call the pipeline.

    Raises
    ------
    InputError
        If there is no GPU to offload from, or the pipeline has no such part or switch.
    """
    for what in settings.slicing:
        _slice(pipeline, what, named)
    if settings.offload is None:
        return
    if device == "cpu":
        raise InputError(
            f"model_options.offload is '{settings.offload}', but {named} is run on the CPU, where "
            "nothing is taken off a GPU; leave it out, or give scaling: {use_gpu: true}"
        )
    if settings.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.enable_sequential_cpu_offload(device=device)


def _slice(pipeline: Any, what: str, named: str) -> None:
    if what == "attention":
        pipeline.enable_attention_slicing()
        return
    vae = getattr(pipeline, "vae", None)
    switch = getattr(vae, "enable_tiling" if what == "vae_tiling" else "enable_slicing", None)
    try:
        if switch is None:
            raise NotImplementedError
        switch()
    except NotImplementedError as error:
        raise InputError(
            f"model_options.slicing has '{what}', but {named} has no vae that can be; leave it out"
        ) from error
