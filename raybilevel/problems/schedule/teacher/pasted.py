"""A list of noise levels as other programs take it: diffusers in Python, ComfyUI in its nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from raybilevel.errors import InputError
from raybilevel.lower.sampling.level_lists.taken import DPMPP_2M

Said = Mapping[str, Any]
"""What `schedule.json` holds."""

_COMFY = {
    "EulerDiscreteScheduler": "euler",
    "FlowMatchEulerDiscreteScheduler": "euler",
    "HeunDiscreteScheduler": "heun",
    "DPMSolverMultistepScheduler": "dpmpp_2m",
}
"""ComfyUI's samplers that step as these do."""


def lists_of(said: Said) -> list[Said]:
    """Each list by itself, of the fewest steps first."""
    return list(said.get("lists", [said]))


def pasted(said: Said, target: str, directory: str) -> str:
    """The text to paste.

    Parameters
    ----------
    directory : of the run, whose `pipeline/` is whole where the model is none of the hub.
    target : one of `TARGETS`.

    Raises
    ------
    InputError
        If the target is none, or cannot hold the list.
    """
    if target not in TARGETS:
        raise InputError(f"--to is '{target}', but it is one of {', '.join(TARGETS)}")
    return TARGETS[target](said, directory)


def _diffusers(said: Said, directory: str) -> str:
    key = said["key"]
    model = key["model"] if key["on_hub"] else f"{directory}/pipeline"
    loading = "".join(f", {name}={value!r}" for name, value in key["from_pretrained"].items())
    name, given = key["scheduler"], key["solver"] or {}
    options = "".join(f", {n}={value!r}" for n, value in (given.get("options") or {}).items())
    made = [f"pipe.scheduler = {name}.from_config(pipe.scheduler.config{options})"]
    baked = key.get("baked")  # what is exported has its scheduler
    lines = [
        f"from diffusers import {'DiffusionPipeline' if baked else f'DiffusionPipeline, {name}'}",
        "",
        f"pipe = DiffusionPipeline.from_pretrained({model!r}{loading})",
        *([] if baked else made),
        *(f"images = {one['call']}.images" for one in lists_of(said)),
    ]
    return "\n".join(lines)


def _comfyui(said: Said, directory: str) -> str:
    key = said["key"]
    if key.get("baked"):
        raise InputError("ComfyUI loads no models in pixel space; take --to diffusers")
    name, config = key["scheduler"], key["scheduler_config"]
    other = [n for n, value in DPMPP_2M.items() if config.get(n, value) != value]
    if name not in _COMFY or (name == "DPMSolverMultistepScheduler" and other):
        what = f"{name} with {other[0]} {config[other[0]]}" if other and name in _COMFY else name
        raise InputError(
            f"ComfyUI has no sampler of its own that steps as {what} does; it has those of "
            f"{', '.join(_COMFY)}"
        )
    guidance = key["call_options"].get("guidance_scale")
    lines = [f"KSamplerSelect  sampler_name: {_COMFY[name]}"]
    for one in lists_of(said):
        sigmas = ", ".join(f"{sigma:.6g}" for sigma in (*one["sigmas_visited"], 0.0))
        lines += [f"ManualSigmas    sigmas: {sigmas}"]
    if guidance is not None:
        node = "FluxGuidance    guidance" if "Flux" in key["pipeline"] else "CFGGuider       cfg"
        lines.append(f"{node}: {guidance:g}")
    return "\n".join([*lines, "SamplerCustomAdvanced takes their outputs"])


TARGETS: dict[str, Callable[[Said, str], str]] = {"diffusers": _diffusers, "comfyui": _comfyui}
"""Programs by name."""
